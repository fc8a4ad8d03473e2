import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotStarted, run } from '../src/koncli';
import { folder, koncli } from './tools';

test('a run ends with the code and what was printed', async () => {
  const place = folder({ 'bad.kon': 'pipeline p { stage s after x { image = "a:1", run = "true" } }' });
  const ended = await run({ path: koncli(), args: ['check', 'bad.kon'], folder: place });
  assert.equal(ended.code, 2);
  assert.equal(ended.stdout, '');
  assert.match(ended.stderr, /K0201/);
  assert.doesNotMatch(ended.stderr, /\u001b/, 'no colours');
});

test('arguments reach koncli as they are, without a shell', async () => {
  const place = folder({ '$(touch hacked); "a".kon': 'pipeline p { stage s { image = "a:1", run = "true" } }' });
  const ended = await run({ path: koncli(), args: ['check', '$(touch hacked); "a".kon'], folder: place });
  assert.equal(ended.code, 0, ended.stderr);
});

test('a large file and a large answer do not block each other', async () => {
  const stages = Array.from({ length: 4000 }, (_, i) => `stage s${i} { image = "a:1", run = "true" }\n`).join('');
  const input = `pipeline p {\n${stages}}`;
  const ended = await run({ path: koncli(), args: ['fmt', '-'], folder: folder({}), input });
  assert.equal(ended.code, 0, ended.stderr);
  assert.ok(ended.stdout.length > 100_000);
});

test('a program that ends before it has read everything is no failure', async () => {
  const ended = await run({ path: koncli(), args: ['--version'], folder: folder({}), input: 'x'.repeat(1_000_000) });
  assert.equal(ended.code, 0);
});

test('a missing koncli is reported with what to do', async () => {
  const started = run({ path: 'no-such-koncli', args: [], folder: folder({}) });
  await assert.rejects(started, (error: Error) => {
    assert.ok(error instanceof NotStarted);
    assert.equal(
      error.message,
      'no-such-koncli: not found. Install koncli, or set konductor.path in the user settings.',
    );
    return true;
  });
});

test('a run that nobody waits for any more is ended', async () => {
  const aborted = new AbortController();
  const started = run({ path: koncli(), args: ['check', '-'], folder: folder({}), signal: aborted.signal });
  aborted.abort();
  await assert.rejects(started, { name: 'AbortError' });
});
