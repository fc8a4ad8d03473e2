// What `koncli check -o json` prints. Knows nothing of VS Code.

/** A place in a file. Lines and columns count from 1, columns in characters. */
export interface Place {
  readonly file: string | null;
  readonly start: Position;
  readonly end: Position;
}

interface Position {
  readonly line: number;
  readonly column: number;
}

interface Label {
  readonly place: Place;
  readonly text: string;
  readonly primary: boolean;
}

/** One diagnostic, as koncli prints it. */
export interface Diagnostic {
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'note';
  readonly message: string;
  readonly labels: readonly Label[];
  readonly help: string | null;
}

/** What is wrong where: lines and columns count from 0, columns in UTF-16 units, as VS Code counts. */
export interface Finding {
  readonly file: string;
  readonly range: readonly [number, number, number, number];
  readonly severity: Diagnostic['severity'];
  readonly code: string;
  readonly message: string;
}

/** Reads the report. `lineOf` returns a line of a file, if it can be read. */
export function findings(json: string, lineOf: (file: string, line: number) => string | undefined): Finding[] {
  const report = JSON.parse(json) as Diagnostic[];
  return report.flatMap(diagnostic => {
    const label = diagnostic.labels.find(label => label.primary) ?? diagnostic.labels[0];
    const place = label?.place;
    if (!place?.file) return [];
    const { file, start, end } = place;
    const column = ({ line, column }: Position) => utf16(lineOf(file, line - 1), column - 1);
    const range = [start.line - 1, column(start), end.line - 1, column(end)] as const;
    const help = diagnostic.help ? `\nhelp: ${diagnostic.help}` : '';
    const { severity, code } = diagnostic;
    return [{ file, range, severity, code, message: diagnostic.message + help }];
  });
}

/** A count of characters as a count of UTF-16 units. */
function utf16(line: string | undefined, characters: number): number {
  if (line === undefined) return characters;
  return Array.from(line).slice(0, characters).join('').length;
}
