; Only text is shell or YAML: an interpolation keeps its own colours.

((comment) @injection.content
  (#set! injection.language "comment"))

((attribute
  key: (identifier) @_key
  value: (_
    (string_content) @injection.content))
  (#eq? @_key "run")
  (#set! injection.language "bash"))

(yaml
  text: (_
    (string_content) @injection.content)
  (#set! injection.language "yaml"))
