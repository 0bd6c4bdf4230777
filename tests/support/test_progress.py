"""The progress bar is text on standard output: no widget that is lost, no red lines."""

import tqdm as bars

from moe_lessons.support.progress import tqdm


def test_the_bar_is_text_on_standard_output(capsys):
    assert list(tqdm(range(3), desc="steps")) == [0, 1, 2]
    printed = capsys.readouterr()
    assert printed.out.rpartition("\r")[2].startswith("steps: 100%|")
    assert printed.out.endswith("\n")
    assert printed.err == ""


def test_its_settings_are_those_of_tqdm(capsys):
    with tqdm(total=5, disable=True) as bar:
        bar.update(5)
    assert isinstance(bar, bars.tqdm)
    assert capsys.readouterr().out == ""
