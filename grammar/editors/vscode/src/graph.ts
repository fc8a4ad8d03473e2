// The preview: a panel beside the editor that follows what is typed.
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { NotStarted, run } from './koncli';
import { type Content, page } from './page';

/** How long nothing must be typed before the picture is drawn again. */
const PAUSE = 200;

/** The preview of one file. */
export class Graph {
  static readonly #open = new Map<string, Graph>();

  readonly #panel: vscode.WebviewPanel;
  readonly #document: vscode.TextDocument;
  readonly #path: () => string;
  #timer: NodeJS.Timeout | undefined;
  #running: AbortController | undefined;
  /** The last picture, which stays while the file has a mistake in it. */
  #svg: string | undefined;

  /** Opens the preview of a file, or shows the one that is open. */
  static show(document: vscode.TextDocument, path: () => string): Graph {
    const key = document.uri.toString();
    const known = Graph.#open.get(key);
    if (known) {
      known.#panel.reveal(undefined, true);
      return known;
    }
    const graph = new Graph(document, path);
    Graph.#open.set(key, graph);
    return graph;
  }

  private constructor(document: vscode.TextDocument, path: () => string) {
    this.#document = document;
    this.#path = path;
    const name = document.fileName.split(/[\\/]/).pop() ?? '';
    this.#panel = vscode.window.createWebviewPanel(
      'konductor.graph',
      `Graph of ${name}`,
      { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
      { enableScripts: false, localResourceRoots: [] },
    );
    const changes = vscode.workspace.onDidChangeTextDocument(change => {
      if (change.document.uri.toString() === document.uri.toString()) this.#soon();
    });
    this.#panel.onDidDispose(() => {
      changes.dispose();
      clearTimeout(this.#timer);
      this.#running?.abort();
      Graph.#open.delete(document.uri.toString());
    });
    void this.draw();
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.draw(), PAUSE);
  }

  /** Draws what the editor has now, saved or not. */
  async draw(): Promise<void> {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    const content = await this.#content(running.signal);
    if (running.signal.aborted) return;
    this.#panel.webview.html = page(content, randomBytes(16).toString('base64'));
  }

  async #content(signal: AbortSignal): Promise<Content> {
    const invocation = {
      path: this.#path(),
      args: ['graph', '-', '--as', 'svg'],
      // Imports are relative to the file.
      folder: dirname(this.#document.fileName),
      input: this.#document.getText(),
      signal,
    };
    try {
      const ended = await run(invocation);
      if (ended.code === 0) this.#svg = ended.stdout;
      return this.#svg === undefined || (ended.code === 0 && !ended.stdout)
        ? { error: ended.stderr }
        : { svg: this.#svg };
    } catch (error) {
      if (error instanceof NotStarted) return { error: error.message };
      return { error: String(error) };
    }
  }
}
