const kFirstMinuteMs = 60_000;

// How long to wait before try `tries` (1, 2, ...), `down` ms after the connection was lost; `random` is in [0, 1). Pure.
// In the first minute at most 2.5 s, later at most 19 s.
export function pauseBefore(tries: number, down: number, random: number): number {
  const most = down < kFirstMinuteMs ? 2000 : 15_000;
  return Math.round(Math.min(most, 500 * 1.5 ** Math.min(tries - 1, 12)) * (0.75 + random / 2));
}
