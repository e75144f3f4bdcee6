-- QEMU refuses one VM of a lab that boots as a whole.
local db = provium:vm("db", { qemu_args = { "-device", "no-such-device" } })
local web = provium:vm("web")

test("the lab boots", function(t)
  provium:boot()
  t:assert_eq(web:state(), "booted")
  t:assert_eq(db:state(), "booted")
end)
