"""What a network from a file may hold, checked before anything runs it: layers, no loops, no files elsewhere.

The format is Protocol Buffers (onnx.proto3); the few fields that matter are walked here, as reading installs no onnx.
"""

from __future__ import annotations

from collections.abc import Iterator

from inkshift.errors import ModelError

# Numbers of the fields in onnx.proto3, by the message that has them.
_GRAPH, _FUNCTIONS = 7, 25  # ModelProto
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15  # GraphProto
_NODE_OF_FUNCTION, _ATTRIBUTE_OF_FUNCTION = 7, 11  # FunctionProto
_OP_TYPE, _ATTRIBUTE = 4, 5  # NodeProto
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23  # AttributeProto
_VALUES, _INDICES = 1, 2  # SparseTensorProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # TensorProto


def check_graph(data: bytes, file: str, *, picture_by_picture: bool = False) -> None:
    """Raise ModelError, naming `file`, for an ONNX model that could run for ever or reads other files.

    Refused: operators with graphs of their own (Loop, If, Scan, SequenceMap) and weights that lie in another file.
    picture_by_picture: a Scan of plain layers is fine, as packages of 0.1.0 have one; it ends with the pictures.
    """
    try:
        model = list(_fields(memoryview(data)))
        for number, value in model:
            if number == _GRAPH:
                _check(value, file, _NODE, picture_by_picture)
            elif number == _FUNCTIONS:
                _check(value, file, _NODE_OF_FUNCTION, False)
    except (ValueError, IndexError, RecursionError, UnicodeDecodeError):
        raise ModelError(f"{file}: cannot be read as ONNX; export it again") from None
    if not any(number == _GRAPH for number, _ in model):
        raise ModelError(f"{file}: cannot be read as ONNX (it holds no graph); export it again")


def _check(graph: memoryview, file: str, nodes: int, scan: bool) -> None:
    for number, value in _fields(graph):
        if number == nodes:
            _check_node(value, file, scan)
        elif number == _INITIALIZER and nodes == _NODE:
            _check_tensor(value, file)
        elif number == _SPARSE_INITIALIZER and nodes == _NODE:
            _check_sparse(value, file)
        elif number == _ATTRIBUTE_OF_FUNCTION and nodes == _NODE_OF_FUNCTION:
            _check_attribute(value, file, "of a function", False)


def _check_node(node: memoryview, file: str, scan: bool) -> None:
    fields = list(_fields(node))
    operator = next((bytes(value).decode() for number, value in fields if number == _OP_TYPE), "")
    for number, attribute in fields:
        if number == _ATTRIBUTE:
            _check_attribute(attribute, file, operator, scan)


def _check_attribute(attribute: memoryview, file: str, operator: str, scan: bool) -> None:
    for part, value in _fields(attribute):
        if part in (_SUBGRAPH, _SUBGRAPHS):
            if not (scan and operator == "Scan"):
                raise ModelError(
                    f"{file}: holds the operator {operator}, which may run for ever; "
                    "expected plain layers only: export the network without loops and branches"
                )
            _check(value, file, _NODE, False)
        elif part in (_TENSOR, _TENSORS):
            _check_tensor(value, file)
        elif part in (_SPARSE_TENSOR, _SPARSE_TENSORS):
            _check_sparse(value, file)


def _check_sparse(tensor: memoryview, file: str) -> None:
    for number, value in _fields(tensor):
        if number in (_VALUES, _INDICES):
            _check_tensor(value, file)


def _check_tensor(tensor: memoryview, file: str) -> None:
    if any(n == _EXTERNAL_DATA or (n == _DATA_LOCATION and bytes(value) != b"\0") for n, value in _fields(tensor)):
        raise ModelError(f"{file}: keeps its weights in another file; export it as one file, weights included")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a message; of a number (varint) the bytes that encode it."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, start = key & 7, at
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, start = _varint(message, at)
            at = start + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("cut short")
        yield key >> 3, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number too long")
