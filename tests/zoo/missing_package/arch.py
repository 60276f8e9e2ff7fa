"""Imports a package that nobody has."""

import no_package_has_this_name
