"""The assemble function: a file's answered parts, made one."""

from sluice.function import Function, one_by_one

handler = Function(takes=["assembly"], work=one_by_one)
application = handler.application
