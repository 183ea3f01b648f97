// Random numbers that can be had again, and how long a test of random input goes on.

// A small generator of numbers below a limit.
export function numbers(seed: number): (below: number) => number {
  let x = seed >>> 0 || 1;
  return (below) => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x % below;
  };
}

// The seeds of a run: `usual` of them from 1 on, always the same. With CHOIR_UI_FUZZ_SECONDS it goes on for so long, from
// CHOIR_UI_FUZZ_SEED on or from a random one, which is printed. A failure tells its seed.
export function* seeds(what: string, usual: number): Generator<number> {
  const seconds = Number(process.env["CHOIR_UI_FUZZ_SECONDS"] ?? 0);
  const given = Number(process.env["CHOIR_UI_FUZZ_SEED"] ?? 0);
  if (seconds <= 0 && given <= 0) {
    for (let seed = 1; seed <= usual; ++seed) yield seed;
    return;
  }
  const first = given > 0 ? given : 1 + Math.floor(Math.random() * 0x7fffffff);
  const end = Date.now() + seconds * 1000;
  let seed = first;
  do yield seed++;
  while (Date.now() < end);
  console.log(`${what}: CHOIR_UI_FUZZ_SEED=${first}, ${seed - first} seeds`);
}
