import os
from pathlib import Path

import pytest
from frostgrid.errors import InputError
from frostgrid.predict.photo import decode_photo, read_photo


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: is not a regular file"):
        read_photo(tmp_path / "pipe")


def test_postscript_under_a_photo_s_name_is_refused() -> None:
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{ } loop\n"
    with pytest.raises(InputError, match=r"cat.jpg: is not an image in a known format \(it is EPS"):
        decode_photo(data, "cat.jpg")
