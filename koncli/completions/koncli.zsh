#compdef koncli
_koncli() {
  local -a candidates
  local line text about
  while IFS= read -r line; do
    text=${line%%$'\t'*}
    about=${line#"$text"}
    about=${about#$'\t'}
    candidates+=("${text//:/\\:}${about:+:$about}")
  done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#candidates )); then
    _describe 'koncli' candidates
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_koncli" ]; then
  _koncli "$@"
else
  compdef _koncli koncli
fi
