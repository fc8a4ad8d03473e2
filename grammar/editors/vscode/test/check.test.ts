import assert from 'node:assert/strict';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import * as vscode from 'vscode';
import { check } from '../src/check';
import { findings } from '../src/report';
import { folder, koncli } from './tools';
import { state } from './vscode';

const GOOD = 'pipeline p { stage s { image = "a:1", run = "true" } }\n';
const BAD = 'pipeline p {\n  description = "🚀"  stage s after x { image = "a:1", run = "true" }\n}\n';

/** What VS Code would list, by file. */
class Problems {
  readonly found = new Map<string, readonly vscode.Diagnostic[]>();
  clear = () => this.found.clear();
  set = (uri: vscode.Uri, diagnostics: readonly vscode.Diagnostic[]) => this.found.set(uri.fsPath, diagnostics);
}

async function checked(): Promise<[number, Problems]> {
  const problems = new Problems();
  const count = await check(koncli(), problems as unknown as vscode.DiagnosticCollection);
  return [count, problems];
}

beforeEach(() => {
  state.files = [];
  state.open = [];
});

test('each mistake is listed with its place in UTF-16 units, its code and its help', async () => {
  const place = folder({ 'good.kon': GOOD, 'bad.kon': BAD });
  state.files = [join(place, 'good.kon'), join(place, 'bad.kon')];
  const [count, { found }] = await checked();
  assert.equal(count, 2);
  assert.deepEqual([...found.keys()], [join(place, 'bad.kon')]);
  const [problem, ...others] = found.get(join(place, 'bad.kon')) ?? [];
  assert.ok(problem && others.length === 0);
  const start = BAD.split('\n')[1]!.indexOf('x {');
  assert.deepEqual(problem.range, new vscode.Range(1, start, 1, start + 1));
  assert.equal(problem.code, 'K0201');
  assert.equal(problem.source, 'koncli');
  assert.equal(problem.severity, vscode.DiagnosticSeverity.Error);
  assert.match(problem.message, /\nhelp: /);
});

test('what the language server reports is not listed twice', async () => {
  const place = folder({ 'bad.kon': BAD });
  state.files = [join(place, 'bad.kon')];
  state.open = [{ fileName: join(place, 'bad.kon') }];
  const [count, { found }] = await checked();
  assert.equal(count, 1);
  assert.equal(found.size, 0);
});

test('a workspace without pipelines is not checked', async () => {
  const [count, { found }] = await checked();
  assert.deepEqual([count, found.size], [0, 0]);
});

test('a file that has gone is an error with its name', async () => {
  const place = folder({});
  state.files = [join(place, 'gone.kon')];
  await assert.rejects(checked(), /gone\.kon/);
});

test('a diagnostic without a place in a file is left out', () => {
  const nowhere = { file: null, start: { line: 0, column: 0 }, end: { line: 0, column: 0 } };
  const report = [{ code: 'K0100', severity: 'error', message: 'x', help: null, labels: [{ place: nowhere, primary: true }] }];
  assert.deepEqual(findings(JSON.stringify(report), () => undefined), []);
});
