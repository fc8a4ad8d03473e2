import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import type * as vscode from 'vscode';
import { Graph } from '../src/graph';
import { page } from '../src/page';
import { folder, koncli, until } from './tools';
import { type Panel, state, Uri } from './vscode';

const LIBRARY = 'template t() { image = "a:1", run = "true" }\n';

/** A document that is edited, with a file that is imported beside it. */
class Document {
  readonly fileName = join(folder({ 'lib.kon': LIBRARY }), 'unsaved.kon');
  readonly uri = new Uri(this.fileName);
  constructor(public text: string) {}
  getText = () => this.text;

  edit(text: string): void {
    this.text = text;
    state.changed.fire({ document: this });
  }

  show(path = koncli()): Panel {
    Graph.show(this as unknown as vscode.TextDocument, () => path);
    const panel = state.panels.at(-1);
    assert.ok(panel);
    return panel;
  }
}

/** The picture in the page. */
function svg(panel: Panel): string {
  const data = /data:image\/svg\+xml;base64,([A-Za-z0-9+/=]+)"/.exec(panel.webview.html);
  return data?.[1] ? Buffer.from(data[1], 'base64').toString() : '';
}

const text = (stage: string) => `import "lib.kon"\npipeline p { stage ${stage} { use t } }\n`;

afterEach(() => {
  for (const panel of state.panels.splice(0)) panel.disposed.fire();
  assert.equal(state.changed.listeners.size, 0, 'nothing listens any more');
});

test('the preview shows what the editor has, saved or not, with its imports', async () => {
  const panel = new Document(text('first')).show();
  assert.equal(panel.title, 'Graph of unsaved.kon');
  await until(() => svg(panel).includes('>first<'));
});

test('the preview follows what is typed, and keeps its picture while there is a mistake', async () => {
  const document = new Document(text('first'));
  const panel = document.show();
  await until(() => svg(panel).includes('>first<'));
  document.edit('pipeline p {');
  document.edit(text('second'));
  await until(() => svg(panel).includes('>second<'));
  const before = panel.webview.html;
  document.edit('pipeline p {');
  // The page is written again, with another nonce and the same picture.
  await until(() => panel.webview.html !== before);
  assert.match(svg(panel), />second</);
});

test('a file without a picture shows its diagnostics, as text', async () => {
  const panel = new Document('pipeline p { stage s after "<script>" {} }').show();
  await until(() => panel.webview.html !== '');
  assert.match(panel.webview.html, /<pre>[\s\S]*K0\d{3}/);
  assert.doesNotMatch(panel.webview.html, /<script/);
});

test('a missing koncli is reported in the preview', async () => {
  const panel = new Document(text('first')).show('no-such-koncli');
  await until(() => panel.webview.html.includes('no-such-koncli: not found'));
});

test('a second command shows the same preview', () => {
  const document = new Document(text('first'));
  const panel = document.show();
  document.show();
  assert.deepEqual([state.panels.length, panel.revealed], [1, 1]);
});

test('the page runs no script and loads nothing', () => {
  const panel = new Document('').show();
  assert.deepEqual(panel.options, { enableScripts: false, localResourceRoots: [] });
  const html = page({ svg: '<svg><script>alert(1)</script></svg>' }, 'abc');
  assert.match(html, /content="default-src 'none'; img-src data:; style-src 'nonce-abc'"/);
  assert.doesNotMatch(html, /<script|https?:/);
  assert.doesNotMatch(page({ error: '</pre><img src=x onerror="a">' }, 'abc'), /<img|onerror="a"/);
});
