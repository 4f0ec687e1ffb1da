module github.com/go-es/es

go 1.26.8
