-- One session of Neovim with `koncli lsp`, configured as docs/editor.md says. Prints what a user would see.
local configuration, folder = arg[1], arg[2]

vim.cmd("filetype on")
dofile(configuration)

local function await(what, condition)
  if not vim.wait(60000, condition, 10) then
    error("timed out: " .. what)
  end
end

local function text(buffer)
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), "\n")
end

local function show(title, shown)
  io.stdout:write("## ", title, "\n", (shown:gsub(vim.pesc(folder), "")), "\n")
end

local function diagnostics()
  local lines = {}
  for _, one in ipairs(vim.diagnostic.get(0)) do
    local severity = vim.diagnostic.severity[one.severity]
    table.insert(lines, ("%d:%d %s %s %s"):format(one.lnum, one.col, severity, one.code, one.message))
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

-- Puts the cursor on a word.
local function at(word)
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  assert(vim.fn.search("\\V" .. word, "cW") > 0, word)
end

-- The answer to a request about the cursor.
local function ask(method)
  local client = vim.lsp.get_clients({ bufnr = 0 })[1]
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local answer = assert(client:request_sync(method, params, 60000, 0))
  assert(not answer.err, vim.inspect(answer.err))
  return answer.result
end

vim.cmd.edit(folder .. "/pipeline.kon")
local buffer = vim.api.nvim_get_current_buf()
await("the server", function()
  local client = vim.lsp.get_clients({ bufnr = buffer })[1]
  return client and client.initialized
end)
await("diagnostics", function()
  return #vim.diagnostic.get(buffer) == 2
end)
show("diagnostics", diagnostics())

at("shel ")
vim.lsp.buf.code_action({ apply = true })
await("the fix", function()
  return text(buffer):find("use shell ", 1, true)
end)
await("no diagnostics", function()
  return #vim.diagnostic.get(buffer) == 0
end)
show("after the code action", text(buffer))

at("shell ")
show("hover", ask("textDocument/hover").contents.value)
local place = ask("textDocument/definition")
show("definition", vim.uri_to_fname(place.uri) .. ":" .. place.range.start.line)

vim.lsp.buf.rename("sh-script")
local library
await("the rename", function()
  library = vim.fn.bufnr(folder .. "/lib/shell.kon")
  return library > 0 and text(library):find("template sh-script", 1, true)
end)
show("renamed here", text(buffer))
show("renamed in lib/shell.kon", text(library))

vim.lsp.buf.format({ timeout_ms = 60000 })
show("formatted", text(buffer))
await("no diagnostics", function()
  return #vim.diagnostic.get(buffer) == 0
end)

vim.lsp.stop_client(vim.lsp.get_clients())
await("the server's end", function()
  return #vim.lsp.get_clients() == 0
end)
