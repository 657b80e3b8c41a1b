"""``python -m vision_ft`` is ``vision-ft``."""

from vision_ft.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
