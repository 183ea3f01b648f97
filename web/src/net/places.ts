// Places for the streams with which the tabs of a browser generate. A browser has six connections to a daemon, whatever
// tab they are of: the tabs' stream of events takes one, and what is asked and stopped meanwhile needs others.
export const kPlaces = 3;

const nameOf = (place: number): string => `choir.generates.${place}`; // a lock of the browser, for all tabs

// Gives a place, and what gives it back. Where all are taken, `waits` is called once, and it comes when one is free; rejects
// when it is given up meanwhile. A browser without such locks has places without number.
export async function takePlace(abort: AbortSignal, waits: () => void): Promise<() => void> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => undefined;
  try {
    for (let place = 0; place < kPlaces; ++place) {
      const release = await ifFree(locks, nameOf(place));
      if (release) return release;
    }
  } catch {
    return () => undefined; // it does not allow them
  }
  abort.throwIfAborted();
  waits();
  return firstFree(locks, abort);
}

function ifFree(locks: LockManager, name: string): Promise<(() => void) | null> {
  return new Promise((resolve, reject) => {
    locks.request(name, { ifAvailable: true }, (lock) => (lock ? new Promise<void>((release) => resolve(release)) : resolve(null))).catch(reject);
  });
}

function firstFree(locks: LockManager, abort: AbortSignal): Promise<() => void> {
  const others = new AbortController(); // who has one waits for no other
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      others.abort();
      reject(abort.reason as Error);
    };
    abort.addEventListener("abort", leave, { once: true });
    for (let place = 0; place < kPlaces; ++place)
      locks.request(nameOf(place), { signal: others.signal }, () => {
        if (others.signal.aborted) return undefined; // two came at once
        abort.removeEventListener("abort", leave);
        others.abort();
        return new Promise<void>((release) => resolve(release));
      }).catch(() => undefined);
  });
}
