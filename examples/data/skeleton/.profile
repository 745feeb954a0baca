export EDITOR=vi
export USER_NAME="$name"
