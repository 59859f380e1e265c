"""The content type of a dataset's result, by what its lines really hold."""

from collections.abc import Mapping

from sluice.transform.content_types import JSON_LINES, Syntax, is_json
from sluice.transform.work import Work


def type_of_result(work: Work, answers: Mapping[int, bytes]) -> str:
    """The content type of a part's result. `answers` are those of its records by index.

    A joined result is written as the records are. Any other is written as the answers are: the first of them shows it.
    """
    options, file = work.options, work.codec
    if options.split_type == "None" and options.join_source == "None" and options.output_filter.is_root:
        return work.answer_codec.content_type  # it is stored as it came
    lines = JSON_LINES if options.split_type == "Line" else "application/json"
    if options.join_source == "Input":
        return lines if is_json(file.content_type) else file.content_type
    if not options.output_filter.is_root and work.answer_codec.syntax is not Syntax.CSV:
        return lines
    if not answers:
        return work.answer_codec.content_type
    found = work.answer_codec.type_of_lines(answers[min(answers)])
    return lines if found == JSON_LINES else found
