// What of VS Code the extension's own modules use, played by a few lines. `state` is what a test looks at.
import { readFile } from 'node:fs/promises';

type Listener<T> = (event: T) => unknown;

/** An event as VS Code has them, which a test can fire. */
export class Event<T> {
  readonly listeners = new Set<Listener<T>>();
  readonly on = (listener: Listener<T>) => {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  };
  fire(event: T): void {
    for (const listener of this.listeners) listener(event);
  }
}

export interface Panel {
  title: string;
  options: { enableScripts: boolean; localResourceRoots: unknown[] };
  webview: { html: string };
  revealed: number;
  disposed: Event<void>;
}

export const state = {
  panels: [] as Panel[],
  files: [] as string[],
  open: [] as { fileName: string }[],
  changed: new Event<{ document: { uri: Uri } }>(),
};

export class Uri {
  constructor(readonly fsPath: string) {}
  static file = (path: string) => new Uri(path);
  toString(): string {
    return `file://${this.fsPath}`;
  }
}

export class Range {
  readonly numbers: number[];
  constructor(...numbers: number[]) {
    this.numbers = numbers;
  }
}

export class Diagnostic {
  source?: string;
  code?: string;
  constructor(
    readonly range: Range,
    readonly message: string,
    readonly severity: number,
  ) {}
}

export const DiagnosticSeverity = { Error: 0, Warning: 1, Information: 2 };
export const ViewColumn = { Beside: -2 };

export const window = {
  createWebviewPanel(_type: string, title: string, _column: unknown, options: Panel['options']) {
    const panel: Panel = { title, options, webview: { html: '' }, revealed: 0, disposed: new Event() };
    state.panels.push(panel);
    return { ...panel, onDidDispose: panel.disposed.on, reveal: () => panel.revealed++ };
  },
};

export const workspace = {
  onDidChangeTextDocument: state.changed.on,
  get textDocuments() {
    return state.open;
  },
  saveAll: async () => true,
  findFiles: async () => state.files.map(Uri.file),
  fs: { readFile: (uri: Uri) => readFile(uri.fsPath) },
};
