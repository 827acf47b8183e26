"""placeholder"""

from pathlib import Path
from kvassay.model.shape import ModelShape


def shape_of_folder(folder: Path) -> ModelShape:
    raise NotImplementedError
