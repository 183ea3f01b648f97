// The unmodified AI SDK talks to a daemon, with its provider for compatible APIs.
import assert from 'node:assert/strict';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateText, streamText } from 'ai';
import { apiKey, baseURL, embeds, fillTheQueue, messages, model, slow, waitUntilNothingRuns } from './daemon_side.mjs';

const choir = createOpenAICompatible({ name: 'choir', baseURL, apiKey, includeUsage: true });
const settings = { model: choir(model), messages, maxOutputTokens: 16, temperature: 0, seed: 1, maxRetries: 0 };

const whole = await generateText(settings);
assert.ok(whole.text && whole.usage.outputTokens > 0);

const stream = streamText(settings);
let text = '';
for await (const piece of stream.textStream) text += piece;
assert.equal(text, whole.text);
assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);

// A client that leaves in the middle.
const abort = new AbortController();
const left = streamText({ ...settings, model: choir(slow), maxOutputTokens: 1500, abortSignal: abort.signal,
  providerOptions: { choir: { ignore_eos: true } } });
for await (const piece of left.textStream) abort.abort();
await waitUntilNothingRuns();

if (embeds) {
  const { embeddings } = await embedMany({ model: choir.textEmbeddingModel(embeds), values: ['a dog', 'a cat'], maxRetries: 0 });
  assert.equal(embeddings.length, 2);
  assert.ok(embeddings[0].length > 1);
}

await assert.rejects(generateText({ ...settings, model: choir('nothing') }), (error) => error.statusCode === 404);

await fillTheQueue();
assert.equal((await generateText({ ...settings, maxRetries: 2 })).text, text);
console.log('ok: ai with @ai-sdk/openai-compatible');
