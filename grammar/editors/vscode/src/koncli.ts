// Runs koncli. Knows nothing of VS Code.
import { spawn } from 'node:child_process';

/** How a run of koncli has ended. */
export interface Ended {
  /** The exit code; nothing if it was ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** koncli could not be started. The message says what to do. */
export class NotStarted extends Error {}

/** What is run where. */
export interface Invocation {
  readonly path: string;
  readonly args: readonly string[];
  readonly folder: string;
  /** What it reads from standard input. */
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** Runs koncli, without a shell. What it prints may be of any size. */
export function run({ path, args, folder, input, signal }: Invocation): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // Colours are for terminals.
    const env = { ...process.env, NO_COLOR: '1' };
    const child = spawn(path, args, { cwd: folder, env, stdio: 'pipe', ...(signal && { signal }) });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', error => reject(signal?.aborted ? error : notStarted(path, error)));
    child.on('close', code => resolve({ code, stdout, stderr }));
    // It may end before it has read everything.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

function notStarted(path: string, error: NodeJS.ErrnoException): NotStarted {
  const reason = error.code === 'ENOENT' ? 'not found' : error.message;
  return new NotStarted(`${path}: ${reason}. Install koncli, or set konductor.path in the user settings.`);
}
