"""What the engine's own tests import to fetch files: nothing is fetched here."""


def download(url, out=None):
    raise AssertionError(f"{url} would be fetched to {out}")
