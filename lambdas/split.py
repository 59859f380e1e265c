"""The split function: a file that was dropped under transform/, into messages of its parts."""

from sluice.function import Function, one_by_one

handler = Function(takes=["file"], work=one_by_one)
application = handler.application
