"""Jobs that begin at the same time, each on a thread of its own."""
import threading
import time


def at_once(jobs):
    """What the jobs (functions without arguments) returned, in their order, and the seconds until the last had ended.

    The first error of any is raised, when all have ended.
    """
    results = [None] * len(jobs)
    errors = []

    def work(index):
        try:
            results[index] = jobs[index]()
        except Exception as error:  # noqa: BLE001: raised below, with all others ended
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    if errors:
        raise errors[0]
    return results, taken
