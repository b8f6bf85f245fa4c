"""Prints the faces in pictures: the module that `mnc compile --emit python` wrote lies in the folder of the first argument."""

import sys

from PIL import Image

sys.path.insert(0, sys.argv[1])
import faces

for path in sys.argv[2:]:
    with Image.open(path) as picture:
        for box in faces.detect(picture):
            corners = tuple(box[edge] for edge in ("left", "top", "right", "bottom"))
            print("%.4f  %s  from %.1f, %.1f to %.1f, %.1f" % (box["score"], box["label"], *corners))
