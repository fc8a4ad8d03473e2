; No node is matched by two patterns, because editors disagree about which of them counts.

(comment) @comment

; Words
[
  "approval"
  "defaults"
  "lease"
  "output"
  "param"
  "schedule"
  "semaphore"
  "stage"
  "template"
  "workspace"
  "finally"
  "job"
  "mount"
  "at"
  "pod"
  "use"
] @keyword

(pipeline
  "pipeline" @keyword)

"import" @keyword.import

[
  "after"
  "for"
  "holding"
  "max"
  "parallel"
  "quorum"
  "when"
  "within"
] @keyword.control

"in" @keyword.operator

[
  "!"
  "!="
  "&&"
  ".."
  "..<"
  "<="
  "="
  "=="
  ">="
  "|"
  "||"
] @operator

(comparison
  [
    "<"
    ">"
  ] @operator)

(list_type
  [
    "<"
    ">"
  ] @punctuation.bracket)

[
  "("
  ")"
  "["
  "]"
  "{"
] @punctuation.bracket

(pipeline
  "}" @punctuation.bracket)

(body
  "}" @punctuation.bracket)

(map
  "}" @punctuation.bracket)

(record_type
  "}" @punctuation.bracket)

[
  ","
  "."
  ":"
] @punctuation.delimiter

; What is declared, and what refers to it
(pipeline
  name: (identifier) @type)

(template
  name: (identifier) @type)

(use
  template: (identifier) @type)

(stage
  name: (identifier) @function)

(approval
  name: (identifier) @function)

(target
  stage: (identifier) @function)

(target
  state: (identifier) @constant)

(resource
  name: (identifier) @variable)

(hold
  resource: (identifier) @variable)

(mount
  workspace: (identifier) @variable)

(loop
  variable: (identifier) @variable.parameter)

(param_declaration
  name: (identifier) @variable.parameter)

(address
  (identifier) @variable)

(every) @operator

(attribute
  key: (identifier) @property)

((reference
  name: (identifier) @variable)
  (#not-any-of? @variable "output" "run" "token" "workspace" "true" "false"))

((reference
  name: (identifier) @variable.builtin)
  (#any-of? @variable.builtin "output" "run" "token" "workspace"))

((reference
  name: (identifier) @boolean)
  (#any-of? @boolean "true" "false"))

(reference
  field: (identifier) @property)

; Types and calls
(scalar_type
  name: (identifier) @type.builtin)

(list_type
  "list" @type.builtin)

(call
  function: _ @function.builtin)

(external
  kind: _ @function.builtin)

(any
  "any" @function.builtin)

; Values
(number) @number

(string
  "\"" @string)

(block_string
  "\"\"\"" @string)

(string_content) @string

(escape_sequence) @string.escape

(interpolation
  [
    "${"
    "}"
  ] @punctuation.special)

((interpolation
  .
  "${"
  .
  (identifier) @variable)
  (#not-any-of? @variable "output" "run" "token" "workspace"))

((interpolation
  .
  "${"
  .
  (identifier) @variable.builtin)
  (#any-of? @variable.builtin "output" "run" "token" "workspace"))

(interpolation
  "."
  .
  (identifier) @property)

(interpolation
  "["
  .
  (identifier) @variable)

(interpolation
  (string) @string)
