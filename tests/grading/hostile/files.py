"""Files that are no notebooks, or odd ones."""

import json
import os
import zipfile

from hostile import FULL, LOGITS, PROTOTYPE, SETUP, honest, kind, notebook
from moe_lessons.grading.records import Ended

OK, UNREADABLE = Ended.OK, Ended.UNREADABLE
NONE = ()


@kind(UNREADABLE, NONE, "an empty file")
def empty(place):
    return b""


@kind(UNREADABLE, NONE, "not JSON")
def truncated(place):
    return notebook(honest())[:-100]


@kind(UNREADABLE, NONE, "not JSON")
def text_that_is_no_json(place):
    return b"this is my homework"


@kind(UNREADABLE, NONE, "JSON")
def json_that_is_no_notebook(place):
    return b'{"answer": 42}'


@kind(UNREADABLE, NONE, "without code")
def a_notebook_without_code(place):
    return notebook([])


@kind(UNREADABLE, NONE, "no question of the course")
def another_notebook(place):
    return notebook(["print('hello')"])


@kind(UNREADABLE, NONE, "nested too deeply")
def json_nested_too_deeply(place):
    return b'{"cells": ' + b"[" * 1_000_000


@kind(UNREADABLE, NONE, "MB")
def a_notebook_of_200_megabytes(place):
    place.path.write_bytes(notebook(honest()))
    os.truncate(place.path, 200 * 2**20)


@kind(UNREADABLE, NONE, "zip")
def a_zip_bomb(place):
    with zipfile.ZipFile(place.path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("submission.ipynb", bytes(50 * 2**20))


@kind(UNREADABLE, NONE, "symbolic link")
def a_link_to_anothers_submission(place):
    place.path.symlink_to(place.neighbour)


@kind(UNREADABLE, NONE, "symbolic link")
def a_link_to_a_device(place):
    place.path.symlink_to("/dev/zero")


@kind(UNREADABLE, NONE, "regular file")
def a_pipe(place):
    os.mkfifo(place.path)


@kind(UNREADABLE, NONE, "directory")
def a_folder(place):
    place.path.mkdir()


@kind(UNREADABLE, NONE, "too many")
def too_many_cells(place):
    return notebook(["pass"] * 5_000)


@kind(OK, FULL, "utf-16")
def encoded_as_utf_16(place):
    return notebook(honest()).decode().encode("utf-16")


@kind(OK, FULL)
def encoded_with_a_byte_order_mark(place):
    return b"\xef\xbb\xbf" + notebook(honest())


@kind(OK, FULL, "Latin-1")
def encoded_as_latin_1(place):
    return notebook(honest("# XX")).replace(b"XX", "für Élodie".encode("latin-1"))


@kind(OK, FULL)
def lone_surrogates(place):
    return notebook(honest('name = "\\ud800"', "# \ud800", 'raise ValueError("\\udcff\\x00\\x1b[31m")'))


@kind(OK, FULL)
def notebook_format_3(place):
    cells = [{"cell_type": "code", "language": "python", "input": cell, "outputs": []} for cell in honest()]
    return json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3, "nbformat_minor": 0, "metadata": {}}).encode()


@kind(OK, FULL)
def no_metadata_at_all(place):
    cells = [{"cell_type": "code", "source": cell} for cell in honest()]
    return json.dumps({"cells": cells}).encode()


@kind(OK, FULL)
def metadata_of_another_kernel(place):
    return notebook(honest(), metadata={"kernelspec": {"name": "ir", "language": "R"}, "language_info": {"name": "R"}})


@kind(OK, FULL)
def cells_of_odd_kinds(place):
    cells = json.loads(notebook(honest()))["cells"]
    odd = [None, 3, [], {"cell_type": "code"}, {"cell_type": "code", "source": 5}, {"cell_type": "raw", "source": "x"}]
    return json.dumps({"cells": [*odd, *cells, *odd]}).encode()


@kind(OK, FULL, "`!ls -la`, `!ls`")
def magics_and_shell_lines(place):
    return [
        SETUP,
        f"%matplotlib inline\n!ls -la\nfiles = !ls\n%time {PROTOTYPE}",
        f"%%time\n{LOGITS}",
        "%%bash\nls",
        'check("1.1")',
    ]
