// What a trace of Chromium says of scripts. Pure.

const kScripts = new Set(["FunctionCall", "EvaluateScript", "TimerFire", "FireAnimationFrame", "EventDispatch", "RunMicrotasks", "v8.callFunction"]);

// The time in [from, to] pairs, each moment once, by their begin.
function merged(spans) {
  const all = [];
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}

// Milliseconds of script in each frame of the page's main thread: the 95th percentile, and how many frames there were.
// Null where the trace has no frames.
export function scriptOfFrames({ traceEvents: events }) {
  const mains = new Map();
  for (const e of events)
    if (e.name === "FireAnimationFrame") mains.set(`${e.pid} ${e.tid}`, (mains.get(`${e.pid} ${e.tid}`) ?? 0) + 1);
  const [main] = [...mains].sort((a, b) => b[1] - a[1])[0] ?? [""];
  const own = events.filter((e) => `${e.pid} ${e.tid}` === main);
  // A frame begins with the first callback of requestAnimationFrame; several of one frame follow each other closely.
  const begins = own.filter((e) => e.name === "FireAnimationFrame").map((e) => e.ts).sort((a, b) => a - b).filter((ts, i, all) => i === 0 || ts - all[i - 1] > 4000);
  if (begins.length < 20) return { scriptP95: null, frameCount: begins.length };
  const spans = merged(own.filter((e) => e.ph === "X" && kScripts.has(e.name)).map((e) => [e.ts, e.ts + (e.dur ?? 0)]));
  const times = new Array(begins.length).fill(0);
  let frame = 0;
  for (const [from, to] of spans) {
    while (frame + 1 < begins.length && begins[frame + 1] <= from) ++frame;
    if (from >= begins[0]) times[frame] += (to - from) / 1000;
  }
  times.sort((a, b) => a - b);
  return { scriptP95: times[Math.floor(0.95 * times.length)], frameCount: begins.length };
}
