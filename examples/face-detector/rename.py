"""Gives the tensors of UltraFace's checkpoint the names that `mnc` knows described layers by.

usage: rename.py FROM.safetensors TO.safetensors

Layer `base_net.0.0` becomes `base_net_0_0`, and its batch norm, which is `base_net.0.1` there, `base_net_0_0.norm`.
"""

import json
import struct
import sys

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}


def main(source, target):
    with open(source, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    norms = {name.rpartition(".")[0] for name in header if name.endswith(".running_mean")}
    renamed = {}
    for name, tensor in header.items():
        layer, _, word = name.rpartition(".")
        if word == "num_batches_tracked":
            continue
        if layer in norms:
            stem, _, place = layer.rpartition(".")
            layer, word = "%s.%d" % (stem, int(place) - 1), "norm." + NORM[word]
        renamed[layer.replace(".", "_") + "." + word if layer else name] = tensor
    # Every byte of a file has to belong to a tensor: what is left is put together anew.
    packed, offset = [], 0
    for name, tensor in renamed.items():
        if name == "__metadata__":
            continue
        first, end = tensor["data_offsets"]
        packed.append(data[first:end])
        tensor["data_offsets"] = [offset, offset + end - first]
        offset += end - first
    text = json.dumps(renamed).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(packed))


if __name__ == "__main__":
    main(*sys.argv[1:])
