// What the scripts of this folder have in common: their arguments, and what they ask the daemon and their test for.
//   node SCRIPT BASE_URL KEY MODEL [--slow MODEL] [--embeds MODEL]
import assert from 'node:assert/strict';
import readline from 'node:readline/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true, options: { slow: { type: 'string' }, embeds: { type: 'string' } } });
export const [baseURL, apiKey, model] = positionals;
export const slow = values.slow ?? model;
export const embeds = values.embeds;
export const messages = [{ role: 'user', content: 'Once upon a time' }];

// Returns once the daemon has no requests; a client that has left has none any more.
export async function waitUntilNothingRuns() {
  const end = Date.now() + 60_000;
  for (;;) {
    const reply = await fetch(baseURL.replace(/\/v1$/, '/choir/v1/requests'), {
      headers: { authorization: `Bearer ${apiKey}` } });
    if ((await reply.json()).requests.length === 0) return;
    assert.ok(Date.now() < end, 'the daemon goes on for a client that has left');
    await pause(10);
  }
}

// Asks the test for a full queue; it makes room again after the first 429.
export async function fillTheQueue() {
  console.log('a full queue, please');
  const lines = readline.createInterface({ input: process.stdin });
  for await (const line of lines) { lines.close(); return line; }
}
