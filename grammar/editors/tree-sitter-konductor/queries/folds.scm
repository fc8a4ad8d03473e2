[
  (pipeline)
  (template)
  (body)
  (map)
  (list)
  (record_type)
  (block_string)
] @fold
