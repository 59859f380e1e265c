"""What is left of a part, as far as the listing of the stored parts says."""

from sluice import keys
from sluice.inputs.requests import TransformPart
from sluice.ports import LISTED, Bucket
from sluice.transform.progress import covered_until, of_run, rest_after


async def look(results: Bucket, folder: str, part: TransformPart) -> tuple[TransformPart, list[str]]:
    """A part without what is stored from its beginning on; and the names of all that is stored within the rest.

    Other names may be among them. An empty range stands for a part that is stored. Raises `ServiceError`.
    """
    rest, before = part, -1
    names: list[str] = []
    while rest.start != before:  # a listing may end before all that is stored
        before = rest.start
        names = await results.list(folder, start_after=folder + keys.part_position(rest.start))
        rest = rest_after(rest, covered_until(of_run(names, part.run), rest.start, rest.end))
    end = folder + keys.part_position(rest.end)
    page = names
    while len(page) == LISTED and page[-1] < end:
        page = await results.list(folder, start_after=page[-1])
        names += page
    return rest, names
