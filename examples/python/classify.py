"""Says of each picture in a folder whether a person is in it."""

import sys

sys.path.insert(0, sys.argv[1])
import person

for answer in person.classify(sys.argv[2:], k=1, threads=2):
    best = answer["top"][0]
    print(answer["path"].rsplit("/")[-1], best["label"], "%.2f" % best["probability"])
