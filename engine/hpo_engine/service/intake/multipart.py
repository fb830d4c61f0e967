"""A multipart body, part by part as it arrives: texts are kept in memory, the model goes to a file of the spool.

The usual form parser would take a part without a filename for text, and refuse it above 1 MiB; clients of WMLA send
models that way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hpo_engine.errors import SpecError
from hpo_engine.service.intake.limits import Limits, TooLarge, size_text
from hpo_engine.service.intake.spool import Spool, SpoolFile
from hpo_engine.text.quoting import quoted

_HOW = "send multipart/form-data with a part `data`, and the model as another part"


def boundary_of(content_type: str | None) -> bytes:
    """The boundary that a request's Content-Type names. Raises SpecError."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        found = f"not {quoted(content_type)}" if content_type else "and says so in Content-Type"
        raise SpecError(f"the body is multipart/form-data, {found}; {_HOW}")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise SpecError("Content-Type: multipart/form-data needs a boundary of 1 to 70 characters")
    return boundary


class Body:
    """Takes the body in. Blocks on the disk: not for the event loop.

    Attributes:
        texts: by the names of their parts, in the order in which they came.
        model: the one other part that is not empty.
        filename: that of the model, without folders; "" if it has none.
    """

    def __init__(self, boundary: bytes, texts: Collection[str], spool: Spool, limits: Limits) -> None:
        self.texts: dict[str, list[str]] = {}
        self.model: SpoolFile | None = None
        self.filename = ""
        self._names, self._spool, self._limits = frozenset(texts), spool, limits
        self._size = self._parts = 0
        self._ended = False
        self._field, self._value, self._headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self._part: tuple[str | None, str] = (None, "")  # its name and its filename
        self._text: bytearray | None = None  # what has arrived of a text
        self._file: SpoolFile | None = None
        callbacks: Any = {
            "on_part_begin": self._begin, "on_header_field": self._on_field, "on_header_value": self._on_value,
            "on_header_end": self._on_header, "on_headers_finished": self._on_headers, "on_part_data": self._on_data,
            "on_part_end": self._on_part, "on_end": self._on_end,
        }  # fmt: skip
        try:
            self._parser = MultipartParser(
                boundary, callbacks, max_header_count=limits.headers, max_header_size=limits.header
            )
        except FormParserError as error:
            raise SpecError(f"the boundary of the body: {error}") from None

    def feed(self, data: bytes) -> None:
        """The next bytes of the body. Raises SpecError, TooLarge, OSError."""
        self._size += len(data)
        if self._size > self._limits.body:
            raise too_large(self._limits)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise SpecError(f"the body is not multipart/form-data as it claims: {error}; {_HOW}") from None

    def close(self) -> None:
        """After the last byte. Raises SpecError if the body is cut off."""
        if not self._ended:
            raise SpecError("the body ends before its last boundary; the upload was cut off, send it again")

    def discard(self) -> None:
        """Removes what is in the spool."""
        for file in (self._file, self.model):
            if file is not None:
                file.discard()
        self._file = self.model = None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise SpecError(f"the body has more than {self._limits.parts} parts")
        self._headers.clear()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers.setdefault(bytes(self._field).lower(), bytes(self._value))
        self._field.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            raise SpecError(f"a part has Content-Transfer-Encoding {quoted(_decoded(encoding))}; send it as it is")
        self._part = name, _ = _named(self._headers)
        self._text = bytearray() if name in self._names else None

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        limits = self._limits
        if self._text is not None:
            self._text += memoryview(data)[start:end]
            if len(self._text) > limits.text:
                raise TooLarge(f"part {quoted(self._part[0] or '')} is larger than {size_text(limits.text)}")
            return
        if self.model is not None:
            raise SpecError("the body has two models; pack the files of a model into one tar")
        if self._file is None:
            self._file = self._spool.file()
        self._file.write(memoryview(data)[start:end])
        if self._file.size > limits.model:
            raise TooLarge(f"the model is larger than {size_text(limits.model)}; put data elsewhere and name its path")

    def _on_part(self) -> None:
        name, filename = self._part
        if self._text is not None:
            assert name is not None
            try:
                self.texts.setdefault(name, []).append(self._text.decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise SpecError(f"part {quoted(name)} is not UTF-8 text") from None
        elif self._file is not None:
            self.model, self._file, self.filename = self._file, None, filename
        self._text = None

    def _on_end(self) -> None:
        self._ended = True


def too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the body is larger than {size_text(limits.body)}; put data elsewhere and name its path")


def _named(headers: Mapping[bytes, bytes]) -> tuple[str | None, str]:
    """The name of a part (None: it has none) and its filename, without folders."""
    _, options = parse_options_header(headers.get(b"content-disposition", b"").decode("latin-1"))
    name, filename = options.get(b"name"), _decoded(options.get(b"filename", b""))
    parts: Sequence[str] = filename.replace("\\", "/").split("/")
    return None if name is None else _decoded(name), parts[-1]


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
