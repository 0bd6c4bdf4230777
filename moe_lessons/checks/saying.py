"""Say something on the screen, whatever has become of the screen."""

import sys


def say(line: str) -> None:
    """Print a line, in the characters that there are. Where nothing can be printed, say nothing; never raise."""
    try:
        print(_printable(line), flush=True)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a screen that is closed, or full, or a learner's own `print`
        return


def _printable(line: str) -> str:
    """Return a line with "?" for what cannot be written: ✓ on an old terminal, half a character anywhere."""
    coding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return line.encode(coding, "replace").decode(coding)
