"""What templates compile to, kept for all sets of templates in a process that are alike."""

from functools import lru_cache

from jinja2.bccache import Bucket, BytecodeCache

_KEPT = 512
"""Templates; an operator's own and ours, of an incident each, are a few dozen."""


class Compiled(BytecodeCache):
    """
    Code of templates by name and source, as Jinja asks for it.

    Incidents have copies of their own (I7) that as a rule say the same; to compile a
    template takes forty times as long as to render it.
    """

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Put in what there is."""
        known = self._buckets.get((bucket.key, bucket.checksum))
        bucket.code = known.code if known else None

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        if len(self._buckets) >= _KEPT:
            self._buckets.clear()
        self._buckets[bucket.key, bucket.checksum] = bucket


@lru_cache(maxsize=32)
def compiled_in(language: str, *, with_blanks: bool) -> Compiled:
    """
    Return the code that environments of one kind share.

    Args:
        language: Their language, and the source of what they know of it: what is
            constant in a template is written in it as it is compiled.
        with_blanks: Whether they write blanks as marks.

    """
    del language, with_blanks  # they tell one cache from another
    return Compiled()
