test("the config is valid", function(t)
  local vm = provium:vm("a"):boot()
  vm:run("echo checking /etc/x; echo 'line 3: unknown key' >&2; exit 2",
    { check = true })
end)
