"""Processes that work side by side, and end with the one that started them."""

import os
import threading
import time

import torch


def start_worker(threads: int, parent: int) -> None:
    """As many threads as the parent has, on which results depend; and not to outlive a parent that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    torch.set_num_threads(threads)
    threading.Thread(target=watch, daemon=True).start()
