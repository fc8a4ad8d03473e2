/**
 * The konductor pipeline language for editors. `grammar/src/konductor.pest` is the law: a test parses thousands of
 * files with both and fails if one accepts what the other rejects.
 *
 * That grammar is ordered and greedy, this one is not. Where they could differ, a comment says what makes them agree.
 */

/// <reference types="tree-sitter-cli/dsl" />

/** Every word of the language. Each of them may also be a name, wherever a name may be: `stage in {}`. */
const WORDS = [
  'after', 'any', 'approval', 'at', 'barrier', 'config', 'defaults', 'finally', 'for', 'gate', 'holding', 'import',
  'in', 'job', 'lease', 'list', 'max', 'mount', 'output', 'parallel', 'param', 'pipeline', 'pod', 'quorum', 'schedule',
  'secret', 'semaphore', 'stage', 'template', 'use', 'when', 'within', 'workspace',
];

/** One or more, separated by commas. */
const list = rule => seq(rule, repeat(seq(',', rule)));

export default grammar({
  name: 'konductor',

  // What is in a string depends on what comes later: `${` is text unless its `}` is on the same line.
  externals: $ => [
    $._string_start,
    $._string_end,
    $._string_text,
    $._block_start,
    $._block_end,
    $._block_text,
    $.escape_sequence,
    $._interpolation_start,
    // By hand, because a second token like `identifier` would be taken for a word of the language.
    $._inner_name,
    $._error,
  ],

  extras: $ => [/[ \t\n\r\uFEFF]/, $.comment],

  word: $ => $.identifier,

  // After an approval without a map, a word is either its next clause or the key of an attribute: `in = 3`. The
  // token after the word decides.
  conflicts: $ => [
    [$.approval, $._approval_with_comma],
    [$.approval],
    [$.fan_out],
    [$._unary, $.comparison],
    [$.scalar_type],
    [$.external],
  ],

  rules: {
    source_file: $ => repeat(choice($.import, $.template, $.pipeline)),

    comment: _ => /#[^\n]*/,
    identifier: _ => /[A-Za-z_][A-Za-z0-9_-]*/,
    number: _ => /-?[0-9]+(\.[0-9]+)?([eE][+-][0-9]+|[A-Za-z0-9]*)/,
    _name: $ => choice($.identifier, ...WORDS.map(word => alias(word, $.identifier))),

    // Declarations

    import: $ => seq('import', field('path', $._text)),

    template: $ => seq(
      'template',
      field('name', $._name),
      '(',
      optional(seq(list($.param_declaration), optional(','))),
      ')',
      field('body', $.body),
    ),

    pipeline: $ => seq('pipeline', field('name', $._name), '{', repeat($._item), '}'),

    _item: $ => choice(
      seq(
        choice($.stage, $.param, $.resource, $.schedule, $.defaults, $.attribute, $.approval),
        optional(','),
      ),
      alias($._approval_with_comma, $.approval),
    ),

    param: $ => seq('param', $.param_declaration),

    param_declaration: $ => seq(
      field('name', $._name),
      ':',
      field('type', $._type),
      optional(seq('=', field('default', $._value))),
    ),

    schedule: $ => seq('schedule', field('cron', $._text), optional($.map)),

    resource: $ => seq(
      field('kind', choice('semaphore', 'lease', 'workspace')),
      field('name', $._name),
      optional($.map),
    ),

    approval: $ => seq('approval', field('name', $._name), repeat($._clause), optional($.map)),

    // The comma after the last name of a list belongs to the list: `after a, b = 3` waits for `b`.
    _approval_with_comma: $ => seq(
      'approval',
      field('name', $._name),
      repeat($._clause),
      choice(alias($._after_with_comma, $.after), alias($._holding_with_comma, $.holding)),
    ),

    // What follows is a body, never the map of an attribute called `defaults`.
    defaults: $ => prec(1, seq('defaults', field('body', $.body))),

    stage: $ => seq(
      optional('finally'),
      'stage',
      field('name', $._name),
      repeat($._clause),
      field('body', $.body),
    ),

    // Clauses

    _clause: $ => choice($.after, $.fan_out, $.when, $.holding, $.quorum, $.max, $.parallel),

    fan_out: $ => seq('for', list($.loop)),
    loop: $ => seq(
      field('variable', $._name),
      'in',
      field('items', choice($.range, $.list, $.reference)),
    ),
    range: $ => seq($._bound, choice('..', '..<'), $._bound),
    _bound: $ => choice($.number, $.reference),

    after: $ => prec.right(-2, seq('after', list($._dependency))),
    _after_with_comma: $ => prec(-1, seq('after', list($._dependency), ',')),
    _dependency: $ => choice($.any, $.external, $.target),
    any: $ => seq('any', '(', list($._dependency), optional(','), ')'),
    external: $ => seq(
      field('kind', choice('pipeline', 'gate', 'barrier')),
      '(',
      field('name', $._text),
      ')',
      optional(seq('within', $.number)),
    ),
    target: $ => seq(
      field('stage', $._name),
      optional($.address),
      optional(seq('.', field('state', $._name))),
    ),
    address: $ => seq('[', list(choice($._text, $.number, $.every, $._name)), ']'),
    every: _ => '*',

    holding: $ => prec.right(-2, seq('holding', list($.hold))),
    _holding_with_comma: $ => prec(-1, seq('holding', list($.hold), ',')),
    hold: $ => seq(field('resource', $._name), optional(seq('(', $._bound, ')'))),

    quorum: $ => seq('quorum', $._bound),
    max: $ => seq('max', $._bound),
    parallel: $ => seq('parallel', $._bound),
    when: $ => seq('when', field('condition', $._expression)),

    // Conditions

    _expression: $ => choice($.or, $.and, $._unary),
    or: $ => prec.left(1, seq($._expression, '||', $._expression)),
    and: $ => prec.left(2, seq($._expression, '&&', $._expression)),
    _unary: $ => choice($.not, $.parenthesized, $.comparison, $._operand),
    not: $ => seq('!', $._unary),
    parenthesized: $ => seq('(', $._expression, ')'),
    comparison: $ => seq(
      $._operand,
      field('operator', choice('==', '!=', '<=', '>=', '<', '>', 'in')),
      $._operand,
    ),
    _operand: $ => choice($._text, $.number, $.list, $.reference),
    reference: $ => seq(
      field('name', $._name),
      optional($.address),
      repeat(seq('.', field('field', $._name))),
    ),

    // Bodies

    body: $ => seq(
      '{',
      repeat(seq(choice($.attribute, $.output, $.mount, $.use, $.yaml), optional(','))),
      '}',
    ),
    output: $ => seq('output', $.param_declaration),
    mount: $ => seq('mount', field('workspace', $._name), 'at', field('path', $._text)),
    use: $ => seq('use', field('template', $._name), optional($.map)),
    yaml: $ => seq(field('kind', choice('pod', 'job')), field('text', $._text)),
    attribute: $ => seq(
      field('key', choice($._name, $._text)),
      choice(seq('=', field('value', $._value)), field('value', $.map)),
    ),
    map: $ => seq('{', repeat(seq($.attribute, optional(','))), '}'),

    // Values and types

    _value: $ => choice($._text, $.number, $.list, $.map, $.call, $.reference),
    list: $ => seq('[', optional(seq(list($._value), optional(','))), ']'),
    call: $ => seq(
      field('function', choice('secret', 'config')),
      '(',
      $._text,
      ',',
      $._text,
      optional(','),
      ')',
    ),

    _type: $ => choice($.list_type, $.record_type, $.choice_type, $.scalar_type),
    list_type: $ => seq('list', '<', $._type, '>'),
    record_type: $ => seq('{', list($.param_declaration), optional(','), '}'),
    choice_type: $ => seq($._text, repeat(seq('|', $._text))),
    scalar_type: $ => seq(field('name', $._name), optional(seq('in', $.range))),

    // Strings

    _text: $ => choice($.string, $.block_string),

    string: $ => seq(
      alias($._string_start, '"'),
      optional(alias($._string_content, $.string_content)),
      alias($._string_end, '"'),
    ),
    _string_content: $ => repeat1(choice($._string_text, $.escape_sequence, $.interpolation)),

    // One quote and two: the scanner marks the end of a token before it knows whether the block is closed.
    block_string: $ => seq(
      alias($._block_opening, '"""'),
      optional(alias($._block_content, $.string_content)),
      alias($._block_end, '"""'),
    ),
    _block_opening: $ => seq($._block_start, token.immediate('""')),
    _block_content: $ => repeat1(choice($._block_text, $.escape_sequence, $.interpolation)),

    // The scanner has seen that it ends. What is in it may be anything; the compiler has the words for mistakes.
    interpolation: $ => seq(
      alias($._interpolation_start, '${'),
      repeat1(choice(
        alias($._inner_name, $.identifier),
        alias($._inner_number, $.number),
        alias($._inner_string, $.string),
        alias($._inner_every, $.every),
        alias(token.immediate(prec(2, '.')), '.'),
        alias(token.immediate(prec(2, '[')), '['),
        alias(token.immediate(prec(2, ']')), ']'),
        $._inner_other,
      )),
      alias(token.immediate(prec(2, '}')), '}'),
    ),
    _inner_number: _ => token.immediate(prec(2, /[0-9]+/)),
    _inner_string: _ => token.immediate(prec(2, /"[^"\n]*"/)),
    _inner_every: _ => token.immediate(prec(2, '*')),
    _inner_other: _ => token.immediate(prec(1, /[^}"\n${.\[\]A-Za-z_0-9]/)),
  },
});
