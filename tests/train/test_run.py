from __future__ import annotations

from pathlib import Path

import pytest

from vision_ft.errors import ConfigError
from vision_ft.train.run import Run, discard, forget_run, new_run_folder, point_latest


def test_every_run_has_a_folder_of_its_own_and_latest_points_to_the_newest(tmp_path: Path) -> None:
    made = []
    for _ in range(3):
        folder = new_run_folder(Run(str(tmp_path)), "pets")
        point_latest(folder)
        made.append(folder.path)
        forget_run()
        assert (tmp_path / "pets" / "latest").resolve() == made[-1].resolve()
    assert len(set(made)) == 3


def test_processes_of_one_run_share_its_folder(tmp_path: Path) -> None:
    first = new_run_folder(Run(str(tmp_path)), "pets").path
    assert new_run_folder(Run(str(tmp_path)), "pets").path == first.resolve()


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path: Path) -> None:
    first = new_run_folder(Run(str(tmp_path / "runs")), "pets")
    discard(first)
    assert list(tmp_path.iterdir()) == []
    kept = new_run_folder(Run(str(tmp_path / "runs")), "pets")
    (kept.path / "config.yaml").write_text("x")
    discard(kept)
    assert kept.config.read_text() == "x"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_a_name_that_is_a_path_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.name"):
        new_run_folder(Run(str(tmp_path), name), "pets")


def test_a_file_where_runs_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(ConfigError, match="cannot hold runs"):
        new_run_folder(Run(str(tmp_path / "runs")), "pets")


def test_a_latest_of_the_users_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pets" / "latest").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no link of ours"):
        new_run_folder(Run(str(tmp_path)), "pets")
