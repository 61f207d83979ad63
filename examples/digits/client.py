"""Ask the served model, over gRPC and over HTTP, with NVIDIA's own client.

python examples/digits/client.py --http localhost:8000 --grpc localhost:8001 build/digits/data/test.npz
"""

from __future__ import annotations

import argparse

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http


def ask(protocol: str, address: str, model: str, images: np.ndarray, batch: int = 32) -> np.ndarray:
    """Return the scores (n, 10) of `images` (n, 1, 8, 8)."""
    library = triton_grpc if protocol == "grpc" else triton_http
    client = library.InferenceServerClient(address)
    scores = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        tensor = library.InferInput("image", list(part.shape), "FP32")
        tensor.set_data_from_numpy(part)
        scores.append(client.infer(model, [tensor]).as_numpy("logits"))
    client.close()
    return np.concatenate(scores)


def main() -> None:
    """Print the share of right answers over each protocol, and five answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", help="test.npz with image and label")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--http", default="localhost:8000")
    parser.add_argument("--grpc", default="localhost:8001")
    arguments = parser.parse_args()
    with np.load(arguments.test) as test:
        images, labels = test["image"], test["label"]
    answers = {
        name: ask(name, getattr(arguments, name), arguments.model, images).argmax(1) for name in ("http", "grpc")
    }
    for name, found in answers.items():
        print(f"{name}: {(found == labels).mean():.1%} of {len(labels)} images right")
    for number in range(5):
        print(f"image {number}: is {labels[number]}, answer {answers['grpc'][number]}")


if __name__ == "__main__":
    main()
