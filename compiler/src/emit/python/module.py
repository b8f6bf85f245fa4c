"""A network compiled by mnc, as a Python module. It needs Python 3.8 and the shared library beside it, nothing else.

    import @NAME@
    scores = @NAME@.run(input)                   # normalised floats, rows of pixels: INPUT_SHAPE
    scores = @NAME@.run_batch(inputs, threads=4)
    for answer in @NAME@.classify(["photo.jpg", "holiday/"]):
        print(answer["path"], answer["top"][0])

Where NumPy is, results are NumPy arrays; without it they are arrays of the standard library. The arithmetic is that of
the library, the same to the last bit on every machine. Run as a program, the module classifies files and folders.
"""

import array
import ctypes
import json
import math
import mmap
import os
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

try:
    import numpy
except ImportError:
    numpy = None

_library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), @LIBRARY@))
# By a string: a class takes a name of two underscores for its own.
_info = getattr(_library, "@NAME@_info")
_info.restype = ctypes.c_char_p
_run = getattr(_library, "@NAME@_run")
_run.argtypes = [ctypes.c_void_p] * 3
_run.restype = ctypes.c_int32

#: All that the library says of itself: shapes, preprocessing, target, sizes.
INFO: Dict[str, Any] = json.loads(_info())
#: Rows, columns, channels.
INPUT_SHAPE: Tuple[int, ...] = tuple(INFO["input"][key] for key in ("height", "width", "channels"))
#: (classes,), or rows, columns, channels of a feature map.
OUTPUT_SHAPE: Tuple[int, ...] = tuple(INFO["output"]["shape"])
if OUTPUT_SHAPE[:2] == (1, 1):
    OUTPUT_SHAPE = OUTPUT_SHAPE[2:]
#: For a network of several outputs, the shape of each by its name; `run` then returns a dictionary of them.
OUTPUT_SHAPES: Dict[str, Tuple[int, ...]] = {
    part["name"]: tuple(part["shape"]) for part in INFO["output"].get("parts", ())
}
#: The name of each output, or nothing.
LABELS: List[str] = INFO["labels"]

_INPUT_LEN = math.prod(INPUT_SHAPE)
_OUTPUT_LEN = math.prod(OUTPUT_SHAPE)
_WORKSPACE_ALIGN = 64

_STATUS = {
    -1: "a pointer is null",
    -2: "the workspace is not aligned",
    -6: "the weights file isn't the one that was written with the library, or is damaged",
    -3: "this CPU lacks a feature that the network was compiled for: " + ", ".join(INFO["cpu_features"]),
}


class Error(RuntimeError):
    """The network refused to run."""


def _check(code):
    if code != 0:
        raise Error(_STATUS.get(code, "unknown status %d" % code))


def _read_weights(wanted):
    """The weights file in memory that begins with a page. It isn't mapped: a file that another program cuts meanwhile would end
    this one by a signal."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), wanted["file"])
    # An opening that waits, as that of a FIFO does, would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    with open(path, "rb", buffering=0, opener=lambda path, _: os.open(path, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Error("%s: not a plain file, expected the network's weights" % path)
        if found.st_size != wanted["bytes"]:
            raise Error("%s: found %d bytes, expected %d bytes" % (path, found.st_size, wanted["bytes"]))
        weights = mmap.mmap(-1, wanted["bytes"])
        rest = memoryview(weights)
        while len(rest) != 0:
            n_read = file.readinto(rest)
            if not n_read:
                raise Error("%s: the file was cut while it was read" % path)
            rest = rest[n_read:]
    return weights


_weights = None
if INFO.get("weights_file"):
    _weights = _read_weights(INFO["weights_file"])
    _bind = getattr(_library, "@NAME@_bind")
    _bind.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    _bind.restype = ctypes.c_int32


class _Memory(threading.local):
    """A workspace for each thread, as the library asks for."""

    def __init__(self):
        size = INFO["workspace_bytes"]
        self._bytes = ctypes.create_string_buffer(size + _WORKSPACE_ALIGN)
        start = ctypes.addressof(self._bytes)
        self.workspace = start + -start % _WORKSPACE_ALIGN
        if _weights is not None:
            address = ctypes.addressof(ctypes.c_char.from_buffer(_weights))
            _check(_bind(self.workspace, address, len(_weights)))


_memory = _Memory()


def run(input: Any) -> Any:
    """The scores of one input: INPUT_LEN floats, already normalised (see `prepare`), in rows of pixels.

    Takes a NumPy array, anything with the buffer protocol that holds floats, or a flat list. An array of three or more axes has
    the shape INPUT_SHAPE, with any number of axes of length 1 before it, or with one axis of several images: then the scores have
    that axis too. Threads may call it at the same time: the interpreter's lock is released while the network runs. Of a network
    with several outputs, a dictionary: the values of each by its name; of several images a list of them.
    """
    values, n_images = _floats(input)
    if n_images is None:
        return _one(_address(values))
    start = _address(values)
    return _together([_one(start + 4 * _INPUT_LEN * image) for image in range(n_images)])


def run_u8(picture: Any) -> Any:
    """The scores of a picture of the network's own size, as bytes: it is normalised, not resized.

    Takes a NumPy array of uint8 of the shape INPUT_SHAPE, with one axis of several pictures before it or without, whatever its
    strides; without NumPy any buffer of bytes. `prepare` brings other pictures to size.
    """
    if not hasattr(_library, "@NAME@_run_u8"):
        raise TypeError("run_u8: found a network of %d channels, expected one whose input is a picture" % INPUT_SHAPE[2])
    rows, shape, stride = _bytes(picture)
    several = shape[:-3] if len(shape) > 3 else ()
    if tuple(shape[-3:]) != INPUT_SHAPE or len(several) > 1:
        raise ValueError("picture: found %s, expected %s; prepare(picture) brings it to size" % (tuple(shape), INPUT_SHAPE))
    start, height = _address(rows), INPUT_SHAPE[0]
    images = [_one_of_bytes(start + image * height * stride, stride) for image in range(several[0] if several else 1)]
    return _together(images) if several else images[0]


def _one(address):
    output = _output()
    _call(address, _address(output))
    return _parts(output) if OUTPUT_SHAPES else output


def _one_of_bytes(address, stride):
    output = _output()
    function = getattr(_library, "@NAME@_run_u8")
    function.restype = ctypes.c_int32
    workspace = ctypes.c_void_p(_memory.workspace)
    _check(function(ctypes.c_void_p(address), ctypes.c_size_t(stride), ctypes.c_void_p(_address(output)), workspace))
    return _parts(output) if OUTPUT_SHAPES else output


def _output():
    return array.array("f", bytes(4 * _OUTPUT_LEN)) if numpy is None else numpy.empty(OUTPUT_SHAPE, numpy.float32)


def _together(results):
    """Several images' outputs: one array with NumPy, else a list."""
    if numpy is None or OUTPUT_SHAPES:
        return results
    return numpy.stack(results) if results else numpy.empty((0, *OUTPUT_SHAPE), numpy.float32)


def _bytes(picture):
    """Pixels as memory that stays, their shape, and the bytes from one row to the next, which are all equally far apart."""
    if numpy is not None:
        # NumPy takes bytes for a text.
        is_buffer = isinstance(picture, (bytes, bytearray, memoryview))
        pixels = numpy.asarray(memoryview(picture).cast("B") if isinstance(picture, bytes) else picture)
        if is_buffer and pixels.shape == (_INPUT_LEN,) and pixels.itemsize == 1:
            pixels = pixels.view(numpy.uint8).reshape(INPUT_SHAPE)
        if pixels.dtype != numpy.uint8:
            raise TypeError("picture: found an array of %s, expected uint8; run(input) takes floats" % pixels.dtype)
        if pixels.ndim == 2 and INPUT_SHAPE[2] == 1:
            pixels = pixels[:, :, None]
        if pixels.ndim == 3 and pixels.shape == INPUT_SHAPE:
            row = INPUT_SHAPE[1] * INPUT_SHAPE[2]
            lie = pixels.strides
            if lie[2] == 1 and lie[1] == INPUT_SHAPE[2] and lie[0] >= row:
                return pixels, pixels.shape, lie[0]
        pixels = numpy.ascontiguousarray(pixels)
        return pixels, pixels.shape, pixels.shape[-2] * pixels.shape[-1] if pixels.ndim > 1 else 0
    view = memoryview(picture)
    if view.format not in ("B", "c"):
        raise TypeError("picture: found a buffer of format %r, expected bytes; run(input) takes floats" % view.format)
    shape = view.shape
    if len(shape) == 1 and shape[0] == _INPUT_LEN:
        shape = INPUT_SHAPE
    return array.array("B", view.tobytes()), shape, INPUT_SHAPE[1] * INPUT_SHAPE[2]


def _parts(output):
    """The outputs by their names, each with memory of its own."""
    parts = {}
    for part in INFO["output"]["parts"]:
        first, shape = part["offset_bytes"] // 4, OUTPUT_SHAPES[part["name"]]
        values = output[first : first + math.prod(shape)]
        parts[part["name"]] = values if numpy is None else values.reshape(shape).copy()
    return parts


def run_batch(inputs: Iterable[Any], threads: int = 1) -> Any:
    """The scores of several inputs, in their order, on so many threads: one array with NumPy, else a list; of a network with
    several outputs a list of dictionaries."""
    if not isinstance(threads, int) or threads < 1:
        raise ValueError("threads: found %r, expected a whole number from 1" % (threads,))
    if threads == 1:
        return _together([run(input) for input in inputs])
    with ThreadPoolExecutor(threads) as pool:
        return _together(list(pool.map(run, inputs)))


def prepare(picture: Any) -> Any:
    """The input of a picture: turned upright, resized, cropped and normalised as the network was trained.

    Takes a path, the bytes of a file, an open file, a Pillow image, or an array of uint8: rows of pixels of three channels, or of
    one. The library does it, with the executables' code and bits. Where it was linked without that code (`PREPARES` is false then)
    Pillow and NumPy are needed. A ValueError says what is wrong with a picture.
    """
    return _load(picture)[0]


class _Order(ctypes.Structure):
    """As the library has it."""

    _fields_ = [
        ("info", ctypes.c_char_p),
        ("info_len", ctypes.c_size_t),
        ("kind", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("data_len", ctypes.c_size_t),
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("channels", ctypes.c_size_t),
        ("input", ctypes.c_void_p),
        ("input_len", ctypes.c_size_t),
        ("message", ctypes.c_void_p),
        ("message_len", ctypes.c_size_t),
    ]


#: Whether the library prepares pictures itself. If not, Pillow does.
PREPARES: bool = hasattr(_library, "mnc_prepare")
_FILE, _CONTENT, _PIXELS = range(3)
_MESSAGE_BYTES = 4096


def _load(picture):
    """The input of a picture, and width and height of the upright picture."""
    if isinstance(picture, (str, os.PathLike)):
        path = os.fsencode(picture)
        if not PREPARES:
            return _with_pillow(picture)
        try:
            return _prepared(_FILE, path)
        except ValueError as error:
            raise ValueError("%s: %s" % (os.fsdecode(path), error)) from None
    if hasattr(picture, "read") and not hasattr(picture, "convert"):
        picture = picture.read()
    is_content = isinstance(picture, memoryview) and picture.ndim == 1 and picture.format == "B"
    if isinstance(picture, (bytes, bytearray)) or is_content:
        return _prepared(_CONTENT, bytes(picture)) if PREPARES else _with_pillow(bytes(picture))
    if not PREPARES:
        return _with_pillow(picture)
    if hasattr(picture, "convert"):
        picture = _plain(picture)
        width, height = picture.size
        return _prepared(_PIXELS, picture.tobytes(), width, height, len(picture.getbands()))
    shape, pixels = _pixels(picture)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise ValueError("picture: found %s, expected (rows, columns, 3) or (rows, columns)" % (tuple(shape),))
    return _prepared(_PIXELS, pixels, shape[1], shape[0], shape[2])


def _pixels(picture):
    """The shape of an array of bytes, and the bytes in the order of its axes."""
    if numpy is not None:
        pixels = numpy.asarray(picture)
        if pixels.dtype != numpy.uint8:
            raise TypeError("picture: found an array of %s, expected a Pillow image or an array of uint8" % pixels.dtype)
        return pixels.shape, pixels.tobytes()
    view = memoryview(picture)
    if view.format != "B":
        raise TypeError("picture: found a buffer of format %r, expected bytes" % view.format)
    return view.shape, view.tobytes()


def _prepared(kind, data, width=0, height=0, channels=0):
    input = array.array("f", bytes(4 * _INPUT_LEN)) if numpy is None else numpy.empty(INPUT_SHAPE, numpy.float32)
    info, message = _info(), ctypes.create_string_buffer(_MESSAGE_BYTES)
    order = _Order(
        info, len(info), kind, ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), width, height, channels,
        _address(input), _INPUT_LEN, ctypes.addressof(message), _MESSAGE_BYTES,
    )
    if _library.mnc_prepare(ctypes.byref(order)) != 0:
        raise ValueError(message.value.decode("utf-8", "replace"))
    return input, (order.width, order.height)


def _plain(picture):
    """A Pillow image upright, in the channels that the network wants, of 8 bits each."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        # Pillow would cut 16 bits off at 255.
        _need_numpy()
        wide = numpy.asarray(picture).astype(numpy.int64)
        picture = Image.fromarray(((wide + 128) // 257).clip(0, 255).astype(numpy.uint8))
    return picture.convert("L" if INPUT_SHAPE[2] == 1 else "RGB")


def _with_pillow(picture):
    """The same without the library: Pillow decodes and resizes."""
    _need_numpy()
    import io

    from PIL import Image

    if isinstance(picture, (str, os.PathLike, bytes)):
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
            return _with_pillow(opened)
    if not isinstance(picture, Image.Image):
        shape, pixels = _pixels(picture)
        picture = Image.fromarray(numpy.frombuffer(pixels, numpy.uint8).reshape(shape))
    picture = _plain(picture)
    size = picture.size
    height, width, _ = INPUT_SHAPE
    rule = INFO["preprocess"]["resize"]["rule"]
    if (rule == "keep" and size != (width, height)) or (rule == "crop" and (size[0] < width or size[1] < height)):
        least = "" if rule == "keep" else "at least "
        found = "found %d x %d pixels, expected %s%d x %d" % (*size, least, width, height)
        raise ValueError(found + ": this network's pictures aren't resized")
    full, (left, top) = _seen(size)
    filter = getattr(Image.Resampling, INFO["preprocess"].get("resample", "bilinear").upper())
    # Along the rows first, whatever Pillow's version.
    picture = picture.resize((full[0], size[1]), filter).resize(full, filter)
    if rule == "border":
        fill = INFO["preprocess"]["fill"]
        fill = fill[::-1] if INFO["preprocess"]["channel_order"] == "bgr" else fill
        canvas = Image.new(picture.mode, (width, height), fill[0] if len(fill) == 1 else tuple(fill))
        canvas.paste(picture, (-left, -top))
        picture = canvas
    else:
        picture = picture.crop((left, top, left + width, top + height))
    pixels = numpy.asarray(picture, numpy.float64).reshape(INPUT_SHAPE)
    if INFO["preprocess"]["channel_order"] == "bgr":
        pixels = pixels[:, :, ::-1]
    # In double precision, where a product of a byte and a float is exact.
    multiplier, offset = (
        numpy.asarray(INFO["preprocess"][key], numpy.float32).astype(numpy.float64) for key in ("multiplier", "offset")
    )
    return (pixels * multiplier + offset).astype(numpy.float32), size


def _seen(size):
    """Width and height to which a picture of that size is resized, and where in it the input begins: with a border, before it."""
    rule = INFO["preprocess"]["resize"]
    even = INFO["preprocess"].get("crop_rounding") == "even"
    full = INPUT_SHAPE[1], INPUT_SHAPE[0]
    if rule["rule"] == "cover" and even and rule["width"] != rule["height"]:
        ratio = min(size[0] / rule["width"], size[1] / rule["height"])
        full = round(size[0] / ratio), round(size[1] / ratio)
    elif rule["rule"] == "cover":
        if size[1] * rule["width"] <= size[0] * rule["height"]:
            full = (rule["height"] * size[0] // size[1], rule["height"])
        else:
            full = (rule["width"], rule["width"] * size[1] // size[0])
    elif rule["rule"] == "border" and even:
        ratio = max(size[0] / rule["width"], size[1] / rule["height"])
        full = max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))
    elif rule["rule"] == "border":
        if size[1] * rule["width"] <= size[0] * rule["height"]:
            full = (rule["width"], max(1, rule["width"] * size[1] // size[0]))
        else:
            full = (max(1, rule["height"] * size[0] // size[1]), rule["height"])
    elif rule["rule"] == "squash":
        full = rule["width"], rule["height"]
    elif rule["rule"] != "stretch":
        full = size
    left_off = full[0] - INPUT_SHAPE[1], full[1] - INPUT_SHAPE[0]
    return full, tuple(
        -(-pixels // 2) if pixels < 0 else round(pixels / 2) if even else pixels // 2 for pixels in left_off
    )


def detect(picture: Any, k: Optional[int] = None) -> List[Dict[str, Any]]:
    """The boxes that a detector finds in a picture, the k best or all: see `boxes`. Takes what `prepare` takes."""
    _need_detector()
    input, size = _load(picture)
    return boxes(run(input), size, k)


def boxes(
    outputs: Dict[str, Any], size: Optional[Tuple[int, int]] = None, k: Optional[int] = None
) -> List[Dict[str, Any]]:
    """The boxes in the outputs of a detector, as `run` returns them, the k best or all, the best first.

    Dictionaries with `index` and `label` (or None) of the class, `score`, `left`, `top`, `right` and `bottom` in pixels of a picture of
    `size` (width, height), and `prior`: those of the executables, to the last bit. Without a size the picture is the input.
    """
    rule = _need_detector()["rule"]
    output = []
    for part in INFO["output"]["parts"]:
        values = outputs[part["name"]]
        output += list(values) if numpy is None else numpy.asarray(values, numpy.float32).reshape(-1).tolist()
    # From here on the operations and their order are those of docs/arithmetic.md.
    found = sorted(_candidates(output))[: rule["candidates"]]
    kept = []
    for box in filter(None, (_place(candidate, output) for candidate in found)):
        if len(kept) == rule["most_boxes"]:
            break
        if not any(other["index"] == box["index"] and _overlap(other, box) for other in kept):
            kept.append(box)
    whole = (INPUT_SHAPE[1], INPUT_SHAPE[0])
    full, start = (whole, (0, 0)) if size is None else _seen(size)
    size = whole if size is None else size
    shown = []
    for box in kept:
        for axis, edges in enumerate((("left", "right"), ("top", "bottom"))):
            for edge in edges:
                pixels = (box[edge] * float(INPUT_SHAPE[1 - axis]) + start[axis]) * float(size[axis]) / float(full[axis])
                box[edge] = min(max(pixels, 0.0), float(size[axis]))
        # What lies beyond the picture's edge is no box in it.
        if box["left"] < box["right"] and box["top"] < box["bottom"]:
            shown.append(box)
    return shown if k is None else shown[:k]


def _need_detector():
    if "detect" not in INFO:
        raise TypeError("detect: found a network whose description has no [detect], expected a detector")
    return INFO["detect"]


def _candidates(output):
    """Of each class of each prior that is likely enough: the score, made negative for sorting, the prior, and the class."""
    rule = INFO["detect"]["rule"]
    n_classes, least, threshold = rule["n_classes"], rule["least"], rule["threshold"]
    labels = [label for label in range(n_classes) if label != rule["background"]]
    prior = 0
    for cells in INFO["detect"]["maps"]:
        n_priors = cells["rows"] * cells["columns"] * len(cells["priors"])
        for first in range(cells["scores"], cells["scores"] + n_priors * n_classes, n_classes):
            scores = output[first : first + n_classes]
            if rule["probability"] == "softmax":
                most = -math.inf
                for score in scores:
                    if most < score:
                        most = score
                if not all(scores[label] - most < least for label in labels):
                    total = 0.0
                    for score in scores:
                        total += _power(score - most)
                    for label in labels:
                        score = _power(scores[label] - most) / total
                        if threshold < score:
                            yield -score, prior, label
            else:
                for label in labels:
                    score = scores[label]
                    if rule["probability"] == "sigmoid":
                        if score < least:
                            continue
                        small = _power(-abs(score))
                        score = small / (1.0 + small) if score < 0.0 else 1.0 / (1.0 + small)
                    if threshold < score:
                        yield -score, prior, label
            prior += 1


def _place(candidate, output):
    """The box of a candidate, of an input of 1 x 1; None if it has no area, or an infinite one."""
    score, prior, label = candidate
    rule = INFO["detect"]["rule"]
    at = prior
    for cells in INFO["detect"]["maps"]:
        n_priors = cells["rows"] * cells["columns"] * len(cells["priors"])
        if at < n_priors:
            break
        at -= n_priors
    cell, kind = divmod(at, len(cells["priors"]))
    row, column = divmod(cell, cells["columns"])
    first = cells["locations"] + 4 * at
    x, y, width, height = output[first : first + 4]
    if rule["order"] == "yxhw":
        x, y, width, height = y, x, height, width
    box = {"index": label, "label": LABELS[label] if LABELS else None, "score": -score}
    sizes, divisors = cells["priors"][kind], cells["divisors"]
    for edges, along, extent, size, position, divisor in (
        (("left", "right"), x, width, sizes[0], column, divisors[1]),
        (("top", "bottom"), y, height, sizes[1], row, divisors[0]),
    ):
        centre = along * rule["center_variance"] * size + (position + 0.5) / divisor
        half = _power(extent * rule["size_variance"]) * size * 0.5
        box[edges[0]], box[edges[1]] = centre - half, centre + half
        if not 0.0 < box[edges[1]] - box[edges[0]] < math.inf:
            return None
    box = {key: box[key] for key in ("index", "label", "score", "left", "top", "right", "bottom")}
    box["prior"] = prior
    return box


def _overlap(one, other):
    width = min(one["right"], other["right"]) - max(one["left"], other["left"])
    height = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    if width <= 0.0 or height <= 0.0:
        return False
    shared = width * height
    area, area_of_other = (
        (box["right"] - box["left"]) * (box["bottom"] - box["top"]) for box in (one, other)
    )
    return INFO["detect"]["rule"]["overlap"] * (area + area_of_other - shared) < shared


def _power(x):
    """e to the power of x: 0 where that is no normal number."""
    if not -708.0 <= x <= 709.0:
        return x if math.isnan(x) else math.inf if 0.0 < x else 0.0
    return _exp(x)


def top(scores: Iterable[float], k: int = 5) -> List[Dict[str, Any]]:
    """The k largest scores: dictionaries with `index`, `label` (or None), `score`, and `probability` where the score means one.

    The probability is that of the executables, to the last bit: INFO["output"]["scores"] says how it comes from the scores.
    """
    scores = [float(score) for score in scores]
    best = sorted(range(len(scores)), key=lambda index: (math.isnan(scores[index]), -scores[index], index))[:k]
    answers = [{"index": index, "label": LABELS[index] if LABELS else None, "score": scores[index]} for index in best]
    probability = _probability(scores)
    if probability is not None:
        for answer in answers:
            answer["probability"] = probability(answer["score"])
    return answers


def _probability(scores):
    """The function from a score to its probability; None where there is none."""
    rule = INFO["output"]["scores"]
    if rule == "softmax":
        largest = max(scores)
        total = 0.0
        for score in scores:
            total += _exp(score - largest)
        return lambda score: _exp(score - largest) / total
    return {"sigmoid": _sigmoid, "probabilities": lambda score: score}.get(rule)


def _sigmoid(x):
    small = _exp(-abs(x))
    return small / (1.0 + small) if x < 0.0 else 1.0 / (1.0 + small)


def _exp(x):
    """e to the power of x up to 709, with the bits of the executables: FreeBSD's algorithm, as in Rust's libm."""
    if not x >= -745.13321910194110842:
        return x if math.isnan(x) else 0.0
    if abs(x) < float.fromhex("0x1.00001p-28"):
        return 1.0 + x
    power, high, low = 0, x, 0.0
    if abs(x) >= float.fromhex("0x1.62e43p-2"):
        sign = math.copysign(1.0, x)
        power = int(1.44269504088896338700 * x + 0.5 * sign) if abs(x) >= float.fromhex("0x1.0a2b2p+0") else int(sign)
        high, low = x - power * 6.93147180369123816490e-01, power * 1.90821492927058770002e-10
        x = high - low
    square = x * x
    series = -1.65339022054652515390e-06 + square * 4.13813679705723846039e-08
    series = -2.77777777770155933842e-03 + square * (6.61375632143793436117e-05 + square * series)
    rest = x - square * (1.66666666666666019037e-01 + square * series)
    return math.ldexp(1.0 + (x * rest / (2.0 - rest) - low + high), power)


def classify(
    paths: Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]], k: int = 5, threads: int = 1
) -> List[Dict[str, Any]]:
    """Names what is in pictures: a dictionary with `path` and `top` for each, in order. Folders are listed, not their folders.

    A file that can't be read has `error` instead of `top`, and so has a folder without pictures.
    """
    if OUTPUT_SHAPES:
        how = "detect(picture) returns its boxes" if "detect" in INFO else "run(prepare(picture)) returns them by name"
        raise TypeError("classify: found a network of several outputs, expected one; " + how)
    if not PREPARES:
        _need_numpy()

    def answer(path):
        if os.path.isdir(path):
            return {"path": path, "error": "found no picture, expected files that end in " + " ".join(_PICTURES)}
        try:
            input = prepare(path)
        # Pillow's decoders raise all sorts of things.
        except Exception as error:
            return {"path": path, "error": _without_path(error, path)}
        return {"path": path, "top": top(run(input), k)}

    files = list(_files(paths))
    if threads == 1:
        return [answer(path) for path in files]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(answer, files))


def _without_path(error, path):
    text = str(error) or type(error).__name__
    start = os.fsdecode(path) + ": "
    return text[len(start) :] if text.startswith(start) else text


_PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".pam")


def _files(paths):
    """The files, and those folders that have no picture."""
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        path = os.fspath(path)
        if not os.path.isdir(path):
            yield path
            continue
        names = [name for name in sorted(os.listdir(path)) if name.lower().endswith(_PICTURES)]
        pictures = [os.path.join(path, name) for name in names if not name.startswith("._")]
        yield from pictures or [path]


def _need_numpy():
    if numpy is None:
        raise ImportError("pictures need NumPy and Pillow here: pip install numpy pillow")


def _floats(input):
    """The input as memory that stays while the network reads it, and how many images there are if there is an axis of them."""
    if isinstance(input, (bytes, bytearray)):
        raise _not_floats("bytes")
    if numpy is not None:
        values = numpy.asarray(input)
        # A list has no type of its own: whole numbers in it are floats that happen to be whole.
        if values.dtype.kind != "f" and not (isinstance(input, (list, tuple)) and values.dtype.kind in "iu"):
            raise _not_floats(values.dtype)
        n_images = _check_shape(values.shape)
        return numpy.ascontiguousarray(values, numpy.float32), n_images
    if isinstance(input, (list, tuple)):
        values = array.array("f", input)
        return values, _check_shape((len(values),))
    view = memoryview(input)
    kind = view.format.lstrip("@=<" if sys.byteorder == "little" else "@=>!")
    if kind not in ("e", "f", "d"):
        raise _not_floats("a buffer of format " + repr(view.format))
    n_images = _check_shape(view.shape)
    if kind != "f":
        return array.array("f", memoryview(view.tobytes()).cast(kind)), n_images
    if view.c_contiguous and not view.readonly:
        return input, n_images
    values = array.array("f")
    values.frombytes(view.tobytes())
    return values, n_images


def _not_floats(found):
    return TypeError("input: found %s, expected floats, normalised; prepare(picture) makes them of a picture, run_u8 takes bytes" % found)


def _check_shape(shape):
    """Refuses what has as many numbers as the input, but in another order: channels first, above all. How many images there are, if
    there is an axis of them."""
    height, width, channels = INPUT_SHAPE
    shape = tuple(shape)
    if len(shape) == 4 and shape[1:] == INPUT_SHAPE and shape[0] != 1:
        return shape[0]
    legal = {
        1: [(_INPUT_LEN,)],
        2: [(1, _INPUT_LEN), (height * width, channels), (height, width * channels)],
    }.get(len(shape), [(1,) * (len(shape) - 3) + INPUT_SHAPE])
    if shape not in legal:
        found = shape[0] if len(shape) == 1 else shape
        raise ValueError("input: found %s, expected %s: %d floats" % (found, INPUT_SHAPE, _INPUT_LEN))
    return None


def _address(values):
    if numpy is not None and isinstance(values, numpy.ndarray):
        return values.ctypes.data
    if isinstance(values, array.array):
        return values.buffer_info()[0]
    return ctypes.addressof(ctypes.c_char.from_buffer(values))


def _call(input, output):
    _check(_run(input, output, _memory.workspace))


def _find(name, paths):
    """Prints the boxes in pictures."""
    code = 0
    for path in _files(paths):
        try:
            found = detect(path)
        except Exception as error:
            print("%s: %s: %s" % (name, path, _without_path(error, path)), file=sys.stderr)
            code = 1
            continue
        for box in found:
            corners = (box["left"], box["top"], box["right"], box["bottom"])
            label = box["index"] if box["label"] is None else box["label"]
            print("%s\t%.4f\t%s\t%.1f\t%.1f\t%.1f\t%.1f" % (path, box["score"], label, *corners))
    return code


def _main(arguments):
    name = os.path.basename(__file__)
    usage = """usage: python %s PICTURE|FOLDER...

Prints the path, the score and the label of the most probable class of each picture; of a detector those of each box, with the
pixels of its left, upper, right and lower edge.
Exit code: 0; 1 if a picture failed; 2 if the arguments are wrong.""" % name
    if arguments[:1] in (["-h"], ["--help"]):
        print(usage)
        return 0
    wrong = [argument for argument in arguments if argument.startswith("-")]
    if wrong or not arguments:
        found = "found %s, expected pictures or folders\n" % (wrong[0] if wrong else "nothing")
        print("%s: %s%s" % (name, found, usage), file=sys.stderr)
        return 2
    if INFO.get("random_weights") is not None:
        print("%s: the weights are random: the answers mean nothing" % name, file=sys.stderr)
    if "detect" in INFO:
        return _find(name, arguments)
    code = 0
    for answer in classify(arguments, k=1, threads=os.cpu_count() or 1):
        if "error" in answer:
            print("%s: %s: %s" % (name, answer["path"], answer["error"]), file=sys.stderr)
            code = 1
            continue
        best = answer["top"][0]
        shown = "%.4f" % best["probability"] if "probability" in best else repr(best["score"])
        print("%s\t%s\t%s" % (answer["path"], shown, best["label"] or best["index"]))
    return code


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
