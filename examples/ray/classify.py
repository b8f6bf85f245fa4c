"""Classifies a folder on a Ray cluster, with the module of `mnc compile --emit python`.

    python classify.py MODULE FOLDER [--workers N]

MODULE is the path of the module (`person/person.py`). Each worker loads it, and the shared library beside it, once; both
must be at that path on every machine of the cluster. Without RAY_ADDRESS, Ray starts on this machine.
"""

import argparse
import importlib.util
import os
from pathlib import Path

import ray


def load(module):
    spec = importlib.util.spec_from_file_location(Path(module).stem, module)
    network = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(network)
    return network


class Classifier:
    """A worker: an actor that has the network."""

    def __init__(self, module):
        self.network = load(module)

    def __call__(self, batch):
        answers = self.network.classify(list(batch["path"]), k=1)
        # A picture that can't be read has an error instead of classes, and a network without probabilities scores.
        best = [answer.get("top", [{"label": answer.get("error"), "score": float("nan")}])[0] for answer in answers]
        return {
            "path": [answer["path"] for answer in answers],
            "label": [answer["label"] or str(answer["index"]) for answer in best],
            "probability": [answer.get("probability", answer["score"]) for answer in best],
            "worker": [os.getpid()] * len(best),
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("module", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    if "RAY_ADDRESS" in os.environ:
        ray.init()
    else:
        ray.init(num_cpus=options.workers, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # The first worker that is up would do everything while the others still load the network.
    context.wait_for_min_actors_s = 60

    # The module knows which files of a folder are pictures.
    paths = sorted(os.path.abspath(path) for path in load(options.module)._files(options.folder))
    # Small batches, so that every worker gets some.
    batch = max(1, min(32, len(paths) // (2 * options.workers)))
    answers = (
        ray.data.from_items([{"path": path} for path in paths], override_num_blocks=max(1, len(paths) // batch))
        .map_batches(
            Classifier,
            fn_constructor_args=(str(options.module.resolve()),),
            batch_size=batch,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=options.workers),
        )
        .take_all()
    )
    for answer in sorted(answers, key=lambda answer: answer["path"]):
        print("%s\t%.4f\t%s" % (answer["path"], answer["probability"], answer["label"]))
    print("# %d pictures, %d workers" % (len(answers), len({answer["worker"] for answer in answers})))


if __name__ == "__main__":
    main()
