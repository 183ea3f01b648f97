// An unmodified openai client talks to a daemon:  node node_openai.mjs BASE_URL MODEL...
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [baseURL, ...models] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 });

const listed = (await client.models.list()).data.map((model) => model.id);
for (const model of models) assert.ok(listed.includes(model), listed.join());

const messages = [{ role: 'user', content: 'Once upon a time' }];
const settings = { max_tokens: 16, temperature: 0, seed: 1 };
for (const model of models) {
  const whole = await client.chat.completions.create({ model, messages, ...settings });
  const stream = await client.chat.completions.create({
    model, messages, stream: true, stream_options: { include_usage: true }, ...settings });
  let text = '';
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
}

// A client that leaves in the middle.
const left = await client.chat.completions.create({ model: models[0], messages, stream: true, max_tokens: 400 });
for await (const chunk of left) break;
left.controller.abort();

await assert.rejects(client.chat.completions.create({ model: 'nothing', messages }),
  (error) => error.status === 404 && error.code === 'model_not_found');
console.log('ok: openai for Node');
