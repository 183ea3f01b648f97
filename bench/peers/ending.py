"""How a benchmark ends a program that it has started: by its process id, and by force where it does not end in time."""
import subprocess


def wait_or_kill(process, seconds):
    """For one that ends by itself, or was asked to."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end(process, seconds):
    """Asks it to end; one that has ended already stays as it is."""
    process.terminate()
    wait_or_kill(process, seconds)
