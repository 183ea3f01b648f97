// An unmodified openai client talks to a daemon.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { apiKey, baseURL, embeds, fillTheQueue, messages, model, slow, waitUntilNothingRuns } from './daemon_side.mjs';

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const listed = (await client.models.list()).data.map((row) => row.id);
assert.ok(listed.includes(model), listed.join());

const settings = { model, messages, max_tokens: 16, temperature: 0, seed: 1 };
const whole = await client.chat.completions.create(settings);
const stream = await client.chat.completions.create({ stream: true, stream_options: { include_usage: true }, ...settings });
let text = '';
let usage;
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? '';
  usage = chunk.usage ?? usage;
}
assert.equal(text, whole.choices[0].message.content);
assert.equal(usage.completion_tokens, whole.usage.completion_tokens);

// A client that leaves in the middle.
const left = await client.chat.completions.create({ ...settings, model: slow, stream: true, max_tokens: 1500, ignore_eos: true });
for await (const chunk of left) break;
left.controller.abort();
await waitUntilNothingRuns();

if (embeds) {
  const { data } = await client.embeddings.create({ model: embeds, input: ['a dog', 'a cat'] });
  assert.equal(data.length, 2);
  assert.ok(data[0].embedding.length > 1 && data[0].embedding.length === data[1].embedding.length);
}

await assert.rejects(client.chat.completions.create({ model: 'nothing', messages }),
  (error) => error.status === 404 && error.code === 'model_not_found');

await fillTheQueue();
const again = await client.chat.completions.create(settings, { maxRetries: 2 });
assert.equal(again.choices[0].message.content, text);
console.log('ok: openai for Node');
