"""The public data sets that can be fetched: where they lie, what their bytes are, and on whose terms."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.filesize import decimal


@dataclass(frozen=True)
class RemoteFile:
    """An archive of a data set.

    Attributes:
        url: where its makers keep it.
        sha256: of the whole file; what makes a mirror as good as the makers.
        size: in bytes, if it is known.
    """

    url: str
    sha256: str
    size: int | None = None

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DataSet:
    """A data set that others made.

    Attributes:
        name: on the command line.
        title: its own name.
        about: what is in it, in one line.
        homepage: what its makers say of it.
        licence: its terms, or where they stand.
        citation: BibTeX of the paper to cite.
        files: its archives, all of which belong together.
        unpacks: what lies at the top of the archives.
        photos: the folder of the photos in it.
    """

    name: str
    title: str
    about: str
    homepage: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]
    unpacks: tuple[str, ...]
    photos: str

    def notice(self) -> str:
        """The text that lies beside the data: terms, citation and origin."""
        origin = [
            f"{file.url}\n  sha256 {file.sha256}" + (f"\n  {decimal(file.size)}" if file.size is not None else "")
            for file in self.files
        ]
        return "\n\n".join(
            [
                f"{self.title}\n{self.about}\n{self.homepage}",
                f"Licence: {self.licence}",
                f"Cite:\n{self.citation}",
                "\n".join([f"From (vision-ft data fetch {self.name}):", *origin]) + "\n",
            ]
        )

    def source(self) -> dict[str, Any]:
        """The same for machines."""
        kept = ("name", "title", "homepage", "licence", "citation", "photos", "files")
        return {key: value for key, value in asdict(self).items() if key in kept}


_PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets"

DATA_SETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            name="oxford-pets",
            title="The Oxford-IIIT Pet Dataset",
            about="cats and dogs of 37 breeds, named as in Abyssinian_1.jpg, where a capital means a cat",
            homepage=f"{_PETS}/",
            licence="Creative Commons Attribution-ShareAlike 4.0 International (CC BY-SA 4.0), "
            "https://creativecommons.org/licenses/by-sa/4.0/; the copyright of the photos stays with their owners",
            citation="""@inproceedings{parkhi12a,
  author    = {Omkar M. Parkhi and Andrea Vedaldi and Andrew Zisserman and C. V. Jawahar},
  title     = {Cats and Dogs},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2012},
}""",
            files=(
                RemoteFile(
                    url=f"{_PETS}/data/images.tar.gz",
                    sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                    size=791_918_971,
                ),
                RemoteFile(
                    url=f"{_PETS}/data/annotations.tar.gz",
                    sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                    size=19_173_078,
                ),
            ),
            unpacks=("images", "annotations"),
            photos="images",
        ),
        DataSet(
            name="cats-dogs",
            title="Kaggle Cats and Dogs Dataset (a part of Asirra)",
            about="cats and dogs of animal shelters, in PetImages/Cat and PetImages/Dog; some files are no photos",
            homepage="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
            licence="the terms come with the archive and lie beside PetImages, in 'readme[1].txt' and "
            "'CDLA-Permissive-2.0.pdf'; read them before use",
            citation="""@inproceedings{elson2007asirra,
  author    = {Jeremy Elson and John R. Douceur and Jon Howell and Jared Saul},
  title     = {Asirra: A {CAPTCHA} that Exploits Interest-Aligned Manual Image Categorization},
  booktitle = {ACM Conference on Computer and Communications Security (CCS)},
  year      = {2007},
}""",
            files=(
                RemoteFile(
                    url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
                    "kagglecatsanddogs_5340.zip",
                    sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
                ),
            ),
            unpacks=("PetImages", "readme[1].txt", "CDLA-Permissive-2.0.pdf"),
            photos="PetImages",
        ),
    )
}
