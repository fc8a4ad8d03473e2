# A database, as far as this example needs one: the folder out/db with the migrations that were
# applied and the highest fencing token that was ever seen. Whoever comes with a lower one is refused.
#
#   sh db.sh TOKEN FILE    applies FILE, unless it is applied already
set -eu
token=$1 file=$2
mkdir -p out/db
seen=$(cat out/db/token 2> /dev/null || echo 0)
if [ "$token" -lt "$seen" ]; then
  echo "refused: token $token is older than $seen" >&2
  exit 4
fi
echo "$token" > out/db/token
name=${file##*/}
if grep -qx "$name" out/db/applied 2> /dev/null; then
  echo "$name: applied already"
  exit 0
fi
cat "$file" >> out/db/schema.sql
echo "$name" >> out/db/applied
echo "$name: applied with token $token"
