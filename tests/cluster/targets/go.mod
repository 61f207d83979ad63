module modelpress.test/targets

go 1.24
