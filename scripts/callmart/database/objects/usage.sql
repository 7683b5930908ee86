-- usage: statistics over all customers.

-- The functions below bound what somebody could compute about one customer from several published sums.

-- The inverse of a Gram matrix, by the sweep operator. A column that depends linearly on others is left out: its row
-- and column are 0. Returned row after row.
create or replace function raw.inverse(gram double precision[]) returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(gram, 1);
    swept double precision[] := gram;
    pivot double precision;
    factor double precision;
begin
    for p in 1..size loop
        pivot := swept[p][p];
        for a in 1..size loop
            continue when a = p or swept[a][p] = 0;
            factor := case when pivot > 1e-12 * gram[p][p] then swept[a][p] / pivot else 0 end;
            for b in 1..size loop
                if b <> p and factor <> 0 then
                    swept[a][b] := swept[a][b] - factor * swept[p][b];
                end if;
            end loop;
            swept[a][p] := factor;
        end loop;
        for a in 1..size loop
            swept[p][a] := swept[a][p];
        end loop;
        swept[p][p] := case when pivot > 1e-12 * gram[p][p] then -1 / pivot else 0 end;
    end loop;
    return array(select -cell from unnest(swept) as cell);
end
$$;

-- The leverage x' G x of each row x, where G is a symmetric matrix, given row after row.
create or replace function raw.leverages(parts double precision[], matrix double precision[])
returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(parts, 2);
    found double precision[];
    part double precision[];
    leverage double precision;
begin
    foreach part slice 1 in array parts loop
        leverage := 0;
        for a in 1..size loop
            continue when part[a] = 0;
            leverage := leverage + matrix[(a - 1) * size + a] * part[a] ^ 2;
            for b in a + 1..size loop
                leverage := leverage + 2 * matrix[(a - 1) * size + b] * part[a] * part[b];
            end loop;
        end loop;
        found := found || greatest(leverage, 0);
    end loop;
    return found;
end
$$;

-- Somebody adds up the columns of `parts` with weights of their choice. How large a share of the sum of the absolute
-- values of its rows can a row of `shapes` have at most? Returns such a bound per row of `shapes`, largest first.
--
-- The bound: give each row of `parts` a weight w, divide the row by the square root of w, and let x be a row's leverage
-- among those. In any sum a row of `parts` has at most r * w, where r is the largest x / w², and a row of `shapes` at
-- most the square root of r * x. This is true for any weights. Each round takes better weights from the round before
-- (Lewis weights), which makes the bound tighter.
create or replace function raw.largest_shares(parts double precision[], shapes double precision[])
returns double precision[]
language plpgsql immutable
as $$
declare
    size constant integer := array_length(parts, 2);
    part double precision[];
    weights double precision[];
    gram double precision[];
    matrix double precision[];
    x double precision[];
    r double precision;
    shares double precision[];
    smallest double precision[];
    number integer;
begin
    foreach part slice 1 in array parts loop
        weights := weights || (select max(abs(cell)) from unnest(part) as cell);
    end loop;
    for round in 1..6 loop
        gram := array_fill(0::double precision, array[size, size]);
        number := 0;
        foreach part slice 1 in array parts loop
            number := number + 1;
            for a in 1..size loop
                continue when part[a] = 0;
                for b in 1..size loop
                    gram[a][b] := gram[a][b] + part[a] * part[b] / weights[number];
                end loop;
            end loop;
        end loop;
        matrix := raw.inverse(gram);
        x := raw.leverages(parts, matrix);
        select max(of_row.x / of_row.w ^ 2) into r
        from unnest(x, weights) as of_row (x, w)
        where of_row.w > 0;
        shares := array(
            select sqrt(r * of_shape)
            from unnest(raw.leverages(shapes, matrix)) as of_shape
            order by of_shape desc
        );
        if smallest is null or shares[1] < smallest[1] then
            smallest := shares;
        end if;
        weights := array(select sqrt(of_row) from unnest(x) as of_row);
    end loop;
    return smallest;
end
$$;

-- Whether no customer has a large share in any weighted sum or difference of months. Rows are customers, columns are
-- months. `uses` is how often a customer used the function; `steady` is the same, levelled out over the months in which
-- it was used at all. By uses, the largest share must be under half, and the two largest together under 85 %. By
-- customers, counting deviations from the steady use as well, no share may be more than a tenth.
create or replace function raw.weighs_little(uses double precision[], steady double precision[]) returns boolean
language plpgsql immutable
as $$
declare
    of_uses double precision[] := raw.largest_shares(uses, steady);
    is_on double precision[];
    is_odd double precision[];
    size double precision;
    odd double precision[];
begin
    if of_uses[1] >= 0.5 or of_uses[1] + of_uses[2] >= 0.85 then
        return false;
    end if;
    for customer in 1..array_length(uses, 1) loop
        size := (select max(cell) from unnest(steady[customer:customer]) as cell);
        is_on := is_on || array[array(select (cell > 0)::integer from unnest(steady[customer:customer]) as cell)];
        odd := array(
            select (of_month.uses - of_month.steady) / size
            from unnest(uses[customer:customer], steady[customer:customer]) as of_month (uses, steady)
        );
        size := (select max(abs(cell)) from unnest(odd) as cell);
        if size > 1e-9 then
            is_odd := is_odd || array[array(select cell / size from unnest(odd) as cell)];
        end if;
    end loop;
    return (raw.largest_shares(is_on || is_odd, is_on))[1] <= 0.1 + 1e-9;
end
$$;
