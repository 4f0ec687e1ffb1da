package driver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-es/es/driver"
)

// A named driver opens nothing.
type named string

func (d named) Open(context.Context, string) (driver.Store, error) {
	return nil, errors.New("es: " + string(d) + ": nothing to open")
}

func TestRegister(t *testing.T) {
	if _, ok := driver.Lookup("az09"); ok {
		t.Fatal("az09 is there before it is registered")
	}
	before := driver.Names()
	driver.Register("az09", named("b"))
	driver.Register("a", named("a"))
	driver.Register("0", named("0"))
	for name, want := range map[string]named{"az09": "b", "a": "a", "0": "0"} {
		if d, ok := driver.Lookup(name); !ok || d != want {
			t.Errorf("Lookup(%q) is %v, %v", name, d, ok)
		}
	}
	for _, name := range []string{"", "b", "A", "AZ09"} {
		if d, ok := driver.Lookup(name); ok || d != nil {
			t.Errorf("Lookup(%q) is %v, %v", name, d, ok)
		}
	}
	want := append(before, "az09", "a", "0")
	slices.Sort(want)
	if got := driver.Names(); !slices.Equal(got, want) {
		t.Errorf("Names is %q, want %q", got, want)
	}
	got := driver.Names()
	got[0] = "changed"
	if driver.Names()[0] == "changed" {
		t.Error("Names gives away what it keeps")
	}
}

func TestRegisterPanics(t *testing.T) {
	driver.Register("taken", named("taken"))
	for _, row := range []struct {
		name string
		d    driver.Driver
		want string
	}{
		{"nothing", nil, "es: driver.Register: the driver is nil"},
		{"", named("x"), "es: driver.Register: the name is empty"},
		{"taken", named("y"), "es: driver.Register: called twice for taken"},
		{"Upper", named("x"), `es: driver.Register: "Upper" has other characters than a-z and 0-9`},
		{"a-b", named("x"), `es: driver.Register: "a-b" has other characters than a-z and 0-9`},
		{"a:b", named("x"), `es: driver.Register: "a:b" has other characters than a-z and 0-9`},
		{"é", named("x"), `es: driver.Register: "é" has other characters than a-z and 0-9`},
		{"a\x00", named("x"), `es: driver.Register: "a\x00" has other characters than a-z and 0-9`},
		{" ", named("x"), `es: driver.Register: " " has other characters than a-z and 0-9`},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != row.want {
					t.Errorf("Register(%q): %s, want %s", row.name, got, row.want)
				}
			}()
			driver.Register(row.name, row.d)
		}()
		if d, _ := driver.Lookup(row.name); d != nil && d != named("taken") {
			t.Errorf("Lookup(%q) is %v", row.name, d)
		}
	}
	// A panic leaves no lock behind.
	if !slices.Contains(driver.Names(), "taken") {
		t.Error("taken is gone")
	}
}
